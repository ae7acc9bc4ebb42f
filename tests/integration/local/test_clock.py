"""Time in the whole local stack is a test's own: months pass in milliseconds."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from local.stack.clock import Clock
from local.stack.stack import LocalStack
from shared.domain.timestamps import timestamp, unix_seconds
from shared.json_types import JsonObject

DAY = 86_400.0


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Returns once `what` holds; half a minute later, it fails."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"Still not so: {what}."
        time.sleep(0.01)


class Timed:
    """A stack whose clock is in the test's hands."""

    def __init__(self, stack: LocalStack, clock: Clock) -> None:
        self.stack, self.clock = stack, clock
        headers = {"authorization": f"Bearer {stack.api_key}"}
        self.api = httpx.Client(base_url=stack.api_url, headers=headers, timeout=30, trust_env=False)

    def publish(self, nodes: list[JsonObject], *edges: tuple[str, str], **settings: Any) -> str:
        """The id of a published workflow."""
        drawn = [{"source": source, "target": target} for source, target in edges]
        graph = {"name": "timed", "nodes": nodes, "edges": drawn, "settings": settings}
        made = self.api.post("/api/workflows", json=graph).raise_for_status().json()
        self.api.post(f"/api/workflows/{made['id']}/publish").raise_for_status()
        return str(made["id"])

    def start(self, workflow_id: str) -> str:
        """The id of a run that was started by hand."""
        answer = self.api.post(f"/api/workflows/{workflow_id}/execute", json={}).raise_for_status()
        return str(answer.json()["execution_id"])

    def run(self, execution_id: str) -> JsonObject:
        """The run as it is."""
        return dict(self.api.get(f"/api/executions/{execution_id}").raise_for_status().json())

    def runs(self, workflow_id: str) -> list[JsonObject]:
        """The workflow's finished runs, oldest first, whole."""
        items = self.api.get("/api/executions", params={"workflow_id": workflow_id}).raise_for_status().json()["items"]
        whole = [self.run(item["id"]) for item in items if item["status"] == "succeeded"]
        return sorted(whole, key=lambda item: item["created_at"])

    def drain(self) -> None:
        """An invocation of the drain, as the schedule makes one each minute."""
        url = f"{self.stack.lambda_url}/2015-03-31/functions/local-drain/invocations"
        event = json.dumps({"source": "schedule"}).encode()
        urllib.request.urlopen(urllib.request.Request(url, event), timeout=60).close()  # ours


@pytest.fixture(scope="module")
def timed(postgres_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timed]:
    """The whole service by a clock of its own; its drain leaves as soon as there is nothing to do."""
    folder = tmp_path_factory.mktemp("timed")
    clock = Clock(folder / "clock")
    environment = {**clock.environment, "DRAIN_LINGER_SECONDS": "0.1"}
    with LocalStack(folder, postgres_template=postgres_template, durable=False, environment=environment) as stack:
        timed = Timed(stack, clock)
        yield timed
        timed.api.close()


def test_delay_of_thirty_days_is_over_after_thirty_days(timed: Timed) -> None:
    """A day before its end nothing happens; a second after it, the run goes on."""
    start = {"id": "start", "type": "manual_trigger"}
    pause = {"id": "pause", "type": "delay", "parameters": {"seconds": 30 * DAY}}
    run = timed.start(timed.publish([start, pause], ("start", "pause")))
    eventually(lambda: timed.run(run)["status"] == "waiting", "the run waits")
    timed.clock.advance(29 * DAY)
    timed.drain()
    assert timed.run(run)["status"] == "waiting"
    timed.clock.advance(DAY + 1)
    timed.drain()
    ended = timed.run(run)
    assert ended["status"] == "succeeded"
    assert unix_seconds(ended["finished_at"]) - unix_seconds(ended["started_at"]) >= 30 * DAY


def test_run_is_out_of_time_after_a_week_and_so_is_what_it_has_called(timed: Timed) -> None:
    """Time that it spends waiting for another run counts; that one, which would wait for thirty days, ends with it."""
    start = {"id": "start", "type": "manual_trigger"}
    pause = {"id": "pause", "type": "delay", "parameters": {"seconds": 30 * DAY}}
    called = timed.publish([start, pause], ("start", "pause"))
    ask = {"id": "ask", "type": "call_workflow", "parameters": {"workflow_id": called}}
    run = timed.start(timed.publish([start, ask], ("start", "ask"), timeout_seconds=7 * DAY))
    eventually(lambda: timed.run(run)["status"] == "waiting", "the run waits")
    below = timed.run(run)["nodes"]["ask"]["execution_id"]
    eventually(lambda: timed.run(below)["status"] == "waiting", "the called run waits")
    timed.clock.advance(7 * DAY - 60)
    timed.drain()
    assert timed.run(run)["status"] == "waiting"
    timed.clock.advance(61)
    timed.drain()
    eventually(lambda: timed.run(run)["status"] == "failed", "the run is out of time")
    assert (timed.run(run)["error"]["code"], timed.run(below)["status"]) == ("timeout", "cancelled")


@pytest.mark.parametrize(
    ("before", "ticks"),
    [
        ("2027-03-27T12:00:00Z", ["2027-03-28T01:00:00.000000Z", "2027-03-29T00:30:00.000000Z"]),
        ("2027-10-30T12:00:00Z", ["2027-10-31T00:30:00.000000Z", "2027-11-01T01:30:00.000000Z"]),
    ],
    ids=["spring", "autumn"],
)
def test_cron_is_right_when_the_clocks_change(timed: Timed, before: str, ticks: list[str]) -> None:
    """Half past two in Berlin, when it is skipped and when it comes twice, starts one run a day."""
    timed.clock.set(unix_seconds(before))
    clock = {"id": "clock", "type": "schedule_trigger"}
    clock["parameters"] = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}  # type: ignore[assignment]
    at = {"id": "at", "type": "transform", "parameters": {"value": "{% $trigger.body.scheduled_at %}"}}
    workflow = timed.publish([clock, at], ("clock", "at"))
    for hours in range(3, 40, 3):
        timed.clock.set(unix_seconds(before) + hours * 3600)
        timed.drain()
    eventually(lambda: len(timed.runs(workflow)) == len(ticks), "every tick has its run")
    assert [run["output"] for run in timed.runs(workflow)] == ticks
    timed.api.post(f"/api/workflows/{workflow}/unpublish").raise_for_status()


def test_retries_over_an_hour_take_no_time(timed: Timed, failing: str) -> None:
    """Four refusals, then an answer: each retry comes when its time has come, and not before."""
    call: JsonObject = {"id": "call", "type": "http_request", "parameters": {"method": "POST", "url": failing}}
    call["retry"] = [
        {"errors": ["http_5xx"], "max_attempts": 5, "initial_interval_seconds": 3600, "max_interval_seconds": 3600}
    ]
    start = {"id": "start", "type": "manual_trigger"}
    run = timed.start(timed.publish([start, call], ("start", "call")))
    for attempt in range(1, 5):
        eventually(lambda attempt=attempt: retrying(timed.run(run), attempt), f"attempt {attempt} has failed")
        timed.clock.set(unix_seconds(timed.run(run)["nodes"]["call"]["retry_at"]))
        timed.drain()
    eventually(lambda: timed.run(run)["status"] == "succeeded", "the fifth attempt succeeds")
    assert timed.run(run)["nodes"]["call"]["attempts"] == 5


def retrying(run: JsonObject, attempt: int) -> bool:
    """Whether the run waits for the attempt after this one."""
    node = run["nodes"]["call"]
    return bool(run["status"] == "waiting" and node["attempts"] == attempt)


@pytest.fixture
def failing() -> Iterator[str]:
    """The URL of a server that refuses four times, asking for a quarter of an hour, then answers."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200 if len(seen) > 4 else 503)
            if len(seen) <= 4:
                self.send_header("retry-after", "900")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_clock_is_the_machine_s_until_it_is_moved(tmp_path: Path) -> None:
    """A stack without a moved clock goes by the time that it is."""
    clock = Clock(tmp_path / "clock")
    assert abs(clock.now() - time.time()) < 1
    clock.set(unix_seconds("2030-01-01T00:00:00Z"))
    assert timestamp(clock.now())[:16] == "2030-01-01T00:00"
