"""The arithmetic in the pages: what it comes to is what they say."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from shared.observability import UNITS
from tests.architecture.test_transformed_template import counted_from_logs, of_type, transform

DOCS = Path(__file__).parents[2] / "docs"
COSTS = DOCS / "how-to" / "deploy.md"
SCALING = DOCS / "explanation" / "scaling.md"
TIMES = "\N{MULTIPLICATION SIGN}"


def rows(page: Path, columns: int) -> list[list[str]]:
    """The cells of every table row with so many columns; headings and rulers among them."""
    lines = (line for line in page.read_text().splitlines() if line.startswith("| "))
    cells = ([cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines)
    return [row for row in cells if len(row) == columns]


def number(text: str) -> float:
    """A cell's number."""
    return float(text.replace(",", ""))


def result(arithmetic: str) -> float:
    """What follows from a cell: its last equation's right side, units left out, `M` for millions."""
    text = arithmetic.rpartition("=")[2].replace(",", "").replace("$", "").replace(TIMES, "*")
    text = re.sub(r"/M\b", "/1e6", re.sub(r"(\d) M\b", r"\1e6", text))
    text = re.sub(r"\b[A-Za-z]+\b", "", text)
    assert re.fullmatch(r"[\d.e+*/ ]+", text), text
    return float(eval(text, {"__builtins__": {}}))  # digits and operators, as has just been seen


@pytest.mark.parametrize("row", [one for one in rows(COSTS, 3) if one[2][-1:].isdigit()], ids=lambda row: str(row[0]))
def test_costs_follow_from_their_arithmetic(row: list[str]) -> None:
    """To the cent."""
    assert number(row[2]) == pytest.approx(result(row[1]), abs=0.0051)


def test_costs_count_what_is_there() -> None:
    """The alarms of the template and the metrics of the service."""
    counts = {row[0]: row[1] for row in rows(COSTS, 3)}
    assert counts["alarms"].startswith(f"{len(of_type(transform(), 'AWS::CloudWatch::Alarm'))} {TIMES}")
    own = len(UNITS) + len(counted_from_logs(transform()))
    assert counts["metrics of our own"].startswith(f"{own} {TIMES}")


@pytest.mark.parametrize("row", [row for row in rows(SCALING, 7) if row[0][:1].isdigit()], ids=lambda row: str(row[0]))
def test_scaling_follows_from_its_heading(row: list[str]) -> None:
    """Each column's heading says at what."""
    (heading,) = (cells for cells in rows(SCALING, 7) if cells[0] == "runs/s")
    per_drain, milliseconds, valkey, postgres, kilobytes, events = (
        float(re.findall(r"[\d.]+", cell)[-1]) for cell in heading[1:]
    )
    runs = number(row[0])
    drains, environments = math.ceil(runs / per_drain), math.ceil(runs * milliseconds / 1000)
    assert [number(cell) for cell in row[1:3]] == [drains, environments]
    cores = [runs * valkey / 1000, runs * postgres / 1000]
    assert [number(cell) for cell in row[3:5]] == pytest.approx(cores, abs=0.0051)
    assert [number(cell) for cell in row[5:]] == pytest.approx([runs * kilobytes / 1000, runs * events], abs=0.051)
