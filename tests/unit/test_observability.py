"""Metrics as lines."""

from __future__ import annotations

import ast
import json
import logging
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import get_args

import pytest

from shared import observability
from shared.domain.webhook.delivery_log import Verdict
from shared.engine.run.journal import count_deliveries
from shared.observability import UNITS, begin, count, count_cold_start, edge_logger, emit, flush, highest, mean, tagged
from shared.tracing import set_context


def test_metrics_are_lines_of_the_embedded_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line has the values, their units and the namespace."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    emit({"RunsSucceeded": 3, "DrainSeconds": 1.5}, service="drain")
    line = json.loads(capsys.readouterr().out)
    assert (line["RunsSucceeded"], line["DrainSeconds"], line["service"]) == (3, 1.5, "drain")
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "engine"
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        "RunsSucceeded": "Count",
        "DrainSeconds": "Seconds",
    }


def test_nothing_is_written_where_nobody_reads_metrics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without METRICS_NAMESPACE there are none."""
    monkeypatch.delenv("METRICS_NAMESPACE", raising=False)
    emit({"RunsSucceeded": 3})
    assert capsys.readouterr().out == ""


def test_a_process_starts_cold_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first invocation counts."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    monkeypatch.setattr(observability, "_warm", False)
    count_cold_start("drain")
    count_cold_start("drain")
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_what_happens_often_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts are added, of ages the highest is told and of sizes the mean, and the next line begins anew."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    flush()
    capsys.readouterr()
    for value in (1, 2):
        count("RunsSucceeded", value)
        highest("QueueAgeSeconds", value)
        mean("AppendBatchSize", value)
    flush(service="drain")
    flush(service="drain")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["RunsSucceeded"], line["QueueAgeSeconds"], line["AppendBatchSize"]) == (3, 2, 1.5)


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_has_a_metric(
    verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Entries of the delivery log are counted under their verdict; a line that stands for a flood counts for all of
    it."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    flush()
    capsys.readouterr()
    count_deliveries([{"verdict": verdict}, {"verdict": verdict, "count": 41}])
    flush()
    line = json.loads(capsys.readouterr().out)
    assert [value for name, value in line.items() if name.startswith("Deliveries")] == [42]


def test_log_lines_say_what_led_to_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After a function has begun, its lines have the request's id, and those of a node's work the node's."""
    monkeypatch.setattr(observability, "_warm", False)
    # No function's name: a logger keeps the output that was there when it was made.
    logger, runtime = edge_logger("lines"), BufferingHandler(10)
    logging.getLogger().addHandler(runtime)
    try:
        begin("lines", {"requestContext": {"requestId": "JKJaXmPLvHcESHA="}})
        with tagged(execution_id="e", node_id="n"):
            logger.info("request", status=200)
            logging.getLogger("nodes").warning("odd", extra={"execution_id": "its own"})
    finally:
        set_context(None)
        logging.getLogger().removeHandler(runtime)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["correlation_id"], line["execution_id"], line["node_id"]) == ("JKJaXmPLvHcESHA=", "e", "n")
    record = next(one for one in runtime.buffer if one.name == "nodes")
    found = (record.__dict__["correlation_id"], record.__dict__["execution_id"], record.__dict__["node_id"])
    assert found == ("JKJaXmPLvHcESHA=", "its own", "n")


def test_level_is_the_functions_own_matter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The runtime's level lets metrics through; LOG_LEVEL says what else is written."""
    root = logging.getLogger()
    before = root.level
    monkeypatch.setattr(observability, "_warm", False)
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", "INFO")
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    logger = edge_logger("quiet")
    try:
        count_cold_start("quiet")
        logger.info("request")
        assert (capsys.readouterr().out, root.level) == ("", logging.WARNING)
    finally:
        root.setLevel(before)


def test_every_metric_is_documented() -> None:
    """docs/reference/metrics.md has a line for each, and for no other."""
    lines = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text().splitlines()
    assert {line.split("`")[1] for line in lines if line.startswith("| `")} == set(UNITS)


def test_every_metric_is_written_somewhere() -> None:
    """Each name stands in the code that counts it; those of deliveries are made of the verdicts. None is left over."""
    root = Path(__file__).parents[2]
    said = set[str]()
    for path in (*(root / "shared").rglob("*.py"), *(root / "functions").rglob("*.py")):
        body = ast.parse(path.read_text()).body
        units = [one for one in body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "UNITS"]
        nodes = [node for one in body if one not in units for node in ast.walk(one)]
        said |= {node.value for node in nodes if isinstance(node, ast.Constant) and node.value in UNITS}
    made = {f"Deliveries{verdict.title().replace('_', '')}" for verdict in get_args(Verdict)}
    assert set(UNITS) - said - made == set()
