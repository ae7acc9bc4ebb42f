"""Metrics as lines."""

from __future__ import annotations

import json

import pytest

from shared import observability
from shared.observability import UNITS, count_cold_start, emit


def test_metrics_are_lines_of_the_embedded_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line has the values, their units and the namespace."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    emit({"RunsCompleted": 3, "DrainSeconds": 1.5}, service="drain")
    line = json.loads(capsys.readouterr().out)
    assert (line["RunsCompleted"], line["DrainSeconds"], line["service"]) == (3, 1.5, "drain")
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "engine"
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        "RunsCompleted": "Count",
        "DrainSeconds": "Seconds",
    }


def test_nothing_is_written_where_nobody_reads_metrics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without METRICS_NAMESPACE there are none."""
    monkeypatch.delenv("METRICS_NAMESPACE", raising=False)
    emit({"RunsCompleted": 3})
    assert capsys.readouterr().out == ""


def test_a_process_starts_cold_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first invocation counts."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    monkeypatch.setattr(observability, "_warm", False)
    count_cold_start("drain")
    count_cold_start("drain")
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_every_metric_is_documented() -> None:
    """docs/reference/metrics.md has a line for each, and for no other."""
    from pathlib import Path

    lines = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text().splitlines()
    assert {line.split("`")[1] for line in lines if line.startswith("| `")} == set(UNITS)
