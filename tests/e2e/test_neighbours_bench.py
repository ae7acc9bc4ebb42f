"""The bench of noisy neighbours, end to end and in small, so that it still runs when somebody needs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.neighbours import main


def test_an_attack_is_measured_on_a_stack_of_its_own(
    postgres_template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The victim's deliveries are taken, its runs end, and the attacker says what became of the attack."""
    figures = tmp_path / "neighbours.json"
    arguments = ["--only", "malformed jobs", "--seconds", "0.6", "--patience", "20", "--json", str(figures)]
    assert main(arguments, postgres_template) == 0
    (row,) = json.loads(figures.read_text())
    assert row["attack"] == "malformed jobs"
    assert "jobs; in the queue:" in row["outcome"]
    for seen in (row["idle"], row["attacked"]):
        assert seen["deliveries"] >= 1
        assert (seen["refused"], seen["not_ended"]) == (0, 0)
        assert 0 < seen["run_p50_ms"] <= seen["run_p99_ms"]
        assert seen["ledger_ms"] is not None
    assert row["outcome"] in capsys.readouterr().out
