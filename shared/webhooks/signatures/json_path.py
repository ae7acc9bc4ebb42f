"""Paths into JSON: `data.id`, `items[0].id`, `events[].type` (the first that is there), `[].type`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d*)\]")

Step = str | int | None


def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path: a name, an index, or `None` for every item; a path that is none raises `ValueError`."""
    steps: list[Step] = []
    place = 0
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            break
        name, index = match.groups()
        steps.append(name if name is not None else int(index) if index else None)
        place = match.end()
    if place < len(text) or not steps:
        raise ValueError(f"{text!r} is no path; write it like data.id, items[0].id or events[].type.")
    return tuple(steps)


def values(value: object, steps: tuple[Step, ...]) -> Iterator[object]:
    """All values that the path leads to, in order."""
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if step is None:
        for item in value if isinstance(value, list) else ():
            yield from values(item, rest)
    elif isinstance(value, list):
        place = int(step) if isinstance(step, int) or step.isdecimal() else -1  # `[0]` and `.0` both
        if 0 <= place < len(value):
            yield from values(value[place], rest)
    elif isinstance(value, dict) and step in value:
        yield from values(value[step], rest)


def text_of(value: object) -> str | None:
    """A JSON scalar as senders write it into what they sign; `None` for null, objects and lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        from shared.webhooks.signatures.canonical_json import number

        return number(value)
    return str(value) if isinstance(value, (str, int)) else None
