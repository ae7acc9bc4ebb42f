"""Somebody who lets a workflow run on a local stack, does things with its run, and writes down what was recorded."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from shared.json_types import JsonObject

# What a server on this machine answers: always fine; fine from the third request on, the second one, or the second one
# after some patience; never fine. `record` puts its port in.
SINK = "http://127.0.0.1:{port}/fine"
FLAKY = "http://127.0.0.1:{port}/flaky"
BROKEN = "http://127.0.0.1:{port}/broken"
SLOW = "http://127.0.0.1:{port}/slow"
REFUSED = "http://127.0.0.1:{port}/refused"

# What is answered until the request that is fine.
ANSWERS = (("/flaky", 500, 3), ("/broken", 500, 2), ("/slow", 429, 2), ("/refused", 404, 1_000))

PATIENCE_SECONDS = 130.0
ENDS = ("succeeded", "failed", "cancelled")


class StoryRunner:
    """One workflow's run; `execution_id` is the one that is being followed."""

    def __init__(self, client: httpx.Client, workflow_id: str, execution_id: str | None) -> None:
        """`client` knows the API and its key; `execution_id` is unset while no run has started."""
        self._client, self.workflow_id, self.execution_id = client, workflow_id, execution_id

    def get(self, path: str = "", **query: Any) -> Any:
        """What the API says of the run."""
        answer = self._client.get(f"/api/executions/{self.execution_id}{path}", params=query)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, verb: str, body: Any = None) -> Any:
        """Does something with the run."""
        answer = self._client.post(f"/api/executions/{self.execution_id}/{verb}", json=body or {})
        assert answer.is_success, answer.text
        return answer.json()

    def until(self, *statuses: str) -> None:
        """Returns when the run has one of these statuses."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.get()["status"] not in statuses:
            assert time.monotonic() < deadline, self.get()
            time.sleep(0.1)

    def ends(self) -> None:
        """Returns when the run has ended."""
        self.until(*ENDS)

    def waits(self, node_id: str) -> None:
        """Returns when this node has begun to wait."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while ("NodeWaiting", node_id) not in [
            (event["event_type"], event["payload"].get("node_id")) for event in self.events()
        ]:
            assert time.monotonic() < deadline, self.get()
            time.sleep(0.1)

    def follow(self, started: JsonObject) -> None:
        """From now on, the run that was started."""
        self.execution_id = started["execution_id"]

    def called(self) -> JsonObject:
        """The run that this one has called."""
        waits = [event["payload"] for event in self.events() if event["event_type"] == "NodeWaiting"]
        return {"execution_id": waits[0]["execution_id"]}

    def ticks(self) -> None:
        """Returns when a schedule has started a run and it has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.execution_id is None:
            assert time.monotonic() < deadline, "no tick has started a run"
            time.sleep(0.5)
            items = self._client.get("/api/executions", params={"workflow_id": self.workflow_id}).json()["items"]
            self.execution_id = items[-1]["id"] if items else None
        self.ends()

    def events(self) -> list[JsonObject]:
        """Everything that is recorded of the run."""
        items: list[JsonObject] = []
        page: JsonObject = {"next_cursor": None}
        while not items or page["next_cursor"]:
            query = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = self.get("/events", limit=100, **query)
            items += page["items"]
        return items

    def history(self) -> JsonObject:
        """`{workflow, status, events}`: the version that the run is pinned to, and all that happened."""
        shown = self.get()
        version = shown["workflow_version"]
        workflow = self._client.get(f"/api/workflows/{shown['workflow_id']}/versions/{version}").json()
        graph = {name: workflow[name] for name in ("nodes", "edges", "settings")}
        return {
            "workflow": {"workflow_id": shown["workflow_id"], "version": version, **graph},
            "status": shown["status"],
            "events": self.events(),
        }


@contextmanager
def server() -> Iterator[int]:
    """The port of the server that workflows send to."""
    requests: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            # A story's own path, and an item's own key: whatever is sent again counts up.
            key = f"{self.path} {self.headers['idempotency-key']}"
            requests[key] += 1
            status, fine_from = next((answer for path, *answer in ANSWERS if path in self.path), (200, 1))
            status = status if requests[key] < fine_from else 200
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if status == 429:
                self.send_header("retry-after", "3")
            self.end_headers()
            self.wfile.write(b'{"ok": true}')

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield running.server_port
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
