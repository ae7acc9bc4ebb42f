"""Which handles a `switch` chooses."""

from __future__ import annotations

import pytest

from tests.unit.nodes.types.builders import run


@pytest.mark.parametrize(
    ("mode", "truths", "handles"),
    [
        ("first", (False, True, True), ("b",)),
        ("all", (True, False, True), ("a", "c")),
        ("first", (False, False, False), ("default",)),
        ("all", (False, False, False), ("default",)),
    ],
)
def test_switch_chooses_cases(mode: str, truths: tuple[bool, ...], handles: tuple[str, ...]) -> None:
    """The first or all that hold, else default."""
    cases = [{"when": truth, "handle": handle} for truth, handle in zip(truths, "abc", strict=True)]
    assert run("switch", cases=cases, mode=mode).handles == handles


def test_switch_takes_a_case_that_led_nowhere_for_false() -> None:
    """Like any condition."""
    assert run("switch", cases=[{"handle": "a"}, {"when": True, "handle": "b"}]).handles == ("b",)
