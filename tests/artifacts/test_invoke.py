"""`make invoke`: one built function and one event, without a stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.tools.artifacts import ROOT


def invoke(build: Path, function: str, event: str) -> subprocess.CompletedProcess[str]:
    """What the command does."""
    command = [sys.executable, "-m", "local", "invoke", function, event, "--build", str(build)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_answer_is_printed_and_the_log_beside_it(build: Path) -> None:
    """The function's answer as JSON on stdout; on stderr what Lambda would have logged."""
    done = invoke(build, "console", "events/console/get_docs.json")
    assert (done.returncode, json.loads(done.stdout)["statusCode"]) == (0, 200), done.stderr
    assert "REPORT RequestId" in done.stderr


def test_function_that_is_not_there_is_named(build: Path) -> None:
    """With those that are."""
    done = invoke(build, "intakes", "events/console/get_docs.json")
    assert done.returncode == 2
    assert "there is no function 'intakes', but api_keys, audit" in done.stderr


def test_function_without_its_servers_says_where_they_are(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who starts with this command learns what comes before it."""
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    done = invoke(build, "intake", "events/intake/github_push.json")
    assert json.loads(done.stdout)["statusCode"] == 500
    assert "run `make dev` in another terminal" in done.stderr
