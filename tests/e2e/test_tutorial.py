"""The tutorial as it stands in docs/, typed into a shell: curl, and a signature made by openssl."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from local.stack.stack import LocalStack
from local.tools.sink import sink
from shared.domain.timestamps import unix_seconds

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "first-workflow.md"
MISSING = [name for name in ("bash", "curl", "openssl", "jq") if not shutil.which(name)]
# How long a warm run may take from its 202 to its last event.
WARM_SECONDS = 0.3


def block(name: str, folder: Path, sink_url: str) -> str:
    """The shell commands of the tutorial that are marked with this name, with this test's own files and sink."""
    match = re.search(rf"<!-- run: {name} -->\n```sh\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    assert match, name
    return match[1].replace("/tmp/", f"{folder}/").replace("http://127.0.0.1:9000", sink_url)


def shell(script: str, environment: dict[str, str]) -> str:
    """What a script prints; a failing command fails the test."""
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.skipif(
    bool(MISSING),
    reason=f"what the tutorial is typed with is not installed: install {', '.join(MISSING)} and run it again",
)
def test_tutorial_does_what_it_says(stack: LocalStack, tmp_path: Path) -> None:
    """Its commands end in a run that succeeded and sent one request, with an Idempotency-Key, in a blink when warm."""
    environment = stack.environment
    with sink() as (url, received):
        steps = ("create", "publish", "webhook")
        prepare = "".join(block(step, tmp_path, url) for step in steps)
        keep = '\nprintf "\\n%s" "URL=$URL" "SECRET=$SECRET"'
        kept = re.findall(r"^(URL|SECRET)=(.*)$", shell(prepare + keep, environment), re.MULTILINE)
        environment |= dict(kept)
        ids = []
        for _ in range(5):  # the first wakes the drain and fills its caches
            script = block("deliver", tmp_path, url) + '\necho "$EXECUTION"'
            ids.append(shell(script, environment).split()[-1])
            finished(stack, ids[-1])
        explained = shell(block("explain", tmp_path, url), {**environment, "EXECUTION": ids[0]})

    assert [request.path for request in received] == ["/deploy"] * 5
    assert len({request.headers["idempotency-key"] for request in received}) == 5
    assert json.loads(received[0].body) == {"by": "ada", "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246"}
    assert '"status": "succeeded"' in explained
    assert "NodeStarted deploy" in explained
    assert min(latency(stack, execution_id) for execution_id in ids) < WARM_SECONDS


def finished(stack: LocalStack, execution_id: str) -> dict[str, object]:
    """The run, once it has succeeded."""
    headers, deadline = {"authorization": f"Bearer {stack.api_key}"}, time.monotonic() + 30
    while time.monotonic() < deadline:
        response = httpx.get(f"{stack.api_url}/api/executions/{execution_id}", headers=headers, trust_env=False)
        run: dict[str, object] = response.raise_for_status().json()
        if run["status"] == "succeeded":
            return run
        time.sleep(0.02)
    raise AssertionError(f"{execution_id} has not succeeded: {run}")


def latency(stack: LocalStack, execution_id: str) -> float:
    """Seconds from the delivery's arrival to the run's last event."""
    run = finished(stack, execution_id)
    return unix_seconds(str(run["finished_at"])) - unix_seconds(str(run["created_at"]))
