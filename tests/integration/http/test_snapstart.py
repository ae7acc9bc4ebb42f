"""Every function through a snapshot: what its hooks leave behind, and that it answers afterwards as before."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from local.stack.tokens import LocalKeys
from shared.json_types import JsonObject

ROOT = Path(__file__).parents[3]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
# A sample that makes the function use its connections, and what an empty database lets it answer.
ASKED: dict[str, tuple[str, int]] = {
    "api_keys": ("list_api_keys", 200),
    "audit": ("audit_feed", 200),
    "authorizer": ("api_key", 0),
    "console": ("get_docs", 200),
    "drain": ("schedule", 0),
    "execute": ("execute_workflow", 404),
    "executions": ("list_executions", 200),
    "health": ("get_health", 200),
    "intake": ("github_push", 404),
    "publish": ("publish_workflow", 404),
    "secrets": ("list_secrets", 200),
    "signals": ("ask_signal", 404),
    "webhooks": ("list_webhooks", 200),
    "workflows": ("list_workflows", 200),
}
# Pages, and a token that is looked at before anybody is asked.
WITHOUT_CONNECTIONS = {"console", "signals"}
# Invokes, goes through the hooks as Lambda's runtime does, and invokes again.
SCRIPT = """
import json, random, sys
from importlib import import_module
import psutil
import snapshot_restore_py as runtime

class Context:
    def get_remaining_time_in_millis(self): return 8_000

def connections():
    return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process().net_connections("tcp"))

app, event = import_module(f"functions.{sys.argv[1]}.app"), json.load(sys.stdin)
invoke = lambda: app.handler(event, Context())
before, after = list(runtime.get_before_snapshot()), list(runtime.get_after_restore())
found = {"hooks": [len(before), len(after)], "first": invoke(), "used": connections()}
for function, arguments, named in before:
    function(*arguments, **named)
found["open"], state = connections(), random.getstate()
for function, arguments, named in after:
    function(*arguments, **named)
found["reseeded"] = random.getstate() != state
found["second"] = invoke()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def environment(
    new_database: Callable[[], str], redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What the functions get, over a database of their own."""
    folder = tmp_path_factory.mktemp("snapshots")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield {
        **os.environ,
        "SUPABASE_URL": gateway.url,
        "SUPABASE_KEY": gateway.service_key,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_server.port),
        "QUEUE_NAME": "snapshots",
        "SECRETS_KEY": base64.b64encode(bytes(32)).decode(),
        "PUBLIC_URL": "http://api.test",
        "LOG_LEVEL": "CRITICAL",
        "DRAIN_LINGER_SECONDS": "0",
    }
    gateway.stop()


def through_a_snapshot(function: str, event: Path, environment: dict[str, str]) -> JsonObject:
    """What the script tells."""
    command = [sys.executable, "-c", SCRIPT, function]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=event.read_text(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_answers_after_a_restore_as_before(function: str, environment: dict[str, str]) -> None:
    """Its hooks are registered; no connection is left in the snapshot; what is drawn differs; new ones are made."""
    sample, status = ASKED[function]
    found = through_a_snapshot(function, ROOT / "events" / function / f"{sample}.json", environment)
    assert found["hooks"] == [1, 1]
    assert (found["used"] > 0) is (function not in WITHOUT_CONNECTIONS), "the sample shows nothing"
    assert found["open"] == 0
    assert found["reseeded"]
    assert found["first"].get("statusCode", 0) == status, found["first"]
    assert found["second"].get("statusCode", 0) == status, found["second"]
