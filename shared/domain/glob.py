"""Glob patterns in which only `*` is special: it matches any text, the empty one too."""

from __future__ import annotations


def fits(text: str, pattern: str) -> bool:
    """Whether the whole text matches the pattern. Each part between stars is matched at its first place, which needs no
    backtracking: the text is read once, however many stars there are."""
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
