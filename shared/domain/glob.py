"""Patterns in which `*` alone is special: it stands for anything."""

from __future__ import annotations


def fits(text: str, pattern: str) -> bool:
    """Whether all of the text is the pattern. Each part between stars is looked for once, where it stands first, so
    that a text costs one walk and no way back, however many stars there are."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == pattern
    last = middle.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        start = text.find(part, place, end)
        if start < 0:
            return False
        place = start + len(part)
    return True
