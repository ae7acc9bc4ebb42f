"""Takes secrets out of JSON that a server has sent, in whatever form it repeats them.

A secret is found as it is and in other letter cases, within JSON, HTML and percent escapes (also in one within
another), in base64 and hexadecimal, in base64 of these, as a number, and where it was cut off after its first
`PREFIX_CHARACTERS` or later. All texts are searched together, in a bounded number of passes, each of which takes time
in proportion to the size.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from shared.domain.expressions.escapes import Decoded, TooManyEscapesError, decoded

# How much of a secret's beginning is redacted where the rest was cut off.
PREFIX_CHARACTERS = 12
# The shortest secret that may be set.
LEAST_CHARACTERS = 4
LONG_NUMBER, LONGEST_NUMBER = 10 ** (PREFIX_CHARACTERS - 1), 10**4_000
# How many layers of escapes are taken off.
MAX_LAYERS = 4
# The most escapes, and the most characters times secrets, that are searched: half a second.
MAX_ESCAPES = 500_000
MAX_WORK = 32 * 4_194_304
# The most characters of placeholders: a short secret that is repeated all the time has a longer one.
MAX_PLACEHOLDERS = 4_194_304

# A secret that a response may have as a JSON number; with more digits none would.
_NUMBER = re.compile(r"[+-]?\d{1,300}(?:\.\d{1,300})?", re.ASCII)
# Beginnings that many texts share: of URLs, of PEM, of JSON Web Tokens, of Authorization headers.
_SHARED = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/?#@]*[/?#]?|-----BEGIN [A-Z0-9 ]+-----\s*|eyJ[\w-]*\.|(?:Bearer|Basic|Token) +",
    re.ASCII | re.IGNORECASE,
)
_URL_SAFE = str.maketrans("+/", "-_")


class UnsearchableError(ValueError):
    """The JSON is too large, or has too many escapes, to be searched for so many secrets."""


@dataclass(frozen=True, slots=True)
class Form:
    """A secret as it may be repeated: at least `needle` characters of `text`. `is_cased`: its case matters."""

    text: str
    needle: str
    is_cased: bool
    stands: str


def redacted(value: object, secrets: Mapping[str, str]) -> Any:
    """The JSON with each secret replaced by its placeholder, the key in `secrets`; raises `UnsearchableError`.

    Other text that begins as a secret does, for `PREFIX_CHARACTERS` and more, is replaced as well.
    """
    forms = {form for stands, secret in secrets.items() for form in _forms(stands, secret) if form.needle}
    if not forms:
        return value
    # Numbers of so many digits may be a secret's beginning, or have it in them.
    digits = any(_NUMBER.fullmatch(secret) for secret in secrets.values() if len(secret) >= PREFIX_CHARACTERS)
    texts: list[str] = []
    _collect(value, texts, digits=digits)
    if (sum(map(len, texts)) + len(texts)) * len(secrets) > MAX_WORK:
        raise UnsearchableError
    joined = _separator(secrets).join(texts)
    spans = _spans(joined, sorted(forms, key=lambda form: (-len(form.text), form.text, form.stands)))
    if sum(len(stands) for _, _, stands in spans) > MAX_PLACEHOLDERS:
        raise UnsearchableError
    numbers = {number: stands for stands, secret in secrets.items() for number in _numbers(secret)}
    if not spans and not numbers:
        return value
    return _rebuilt(value, _replaced(texts, spans), numbers, digits=digits)


def _forms(stands: str, secret: str) -> Iterator[Form]:
    shared = _SHARED.match(secret)
    least = (shared.end() if shared else 0) + PREFIX_CHARACTERS
    for text in dict.fromkeys((secret, secret.replace(" ", "+"), *_unescaped(secret))):
        lower = _lower(text)
        yield Form(lower, lower[:least], False, stands)
    content, part = secret.encode(errors="replace"), secret[:least].encode(errors="replace")
    yield Form(content.hex(), part.hex(), False, stands)
    for text, needle in _in_base64(content, part):
        yield from _both_alphabets(text, needle, stands)
        for outer, start in _in_base64(text.encode(), needle.encode()):
            yield from _both_alphabets(outer, start, stands)
    for digits, beginning in ((content.hex(), part.hex()), (content.hex().upper(), part.hex().upper())):
        for text, needle in _in_base64(digits.encode(), beginning.encode()):
            yield Form(text, needle, True, stands)


def _unescaped(secret: str) -> Iterator[str]:
    """What is left of a secret with escapes of its own where those of a text around it are taken off."""
    for _ in range(MAX_LAYERS):
        layer = decoded(secret, MAX_ESCAPES)
        if layer is None or len(layer.text) < LEAST_CHARACTERS:
            return
        secret = layer.text
        yield secret


def _lower(text: str) -> str:
    """The text in lower case, with as many characters: one capital has two, another differs by its place."""
    return text.replace("\u0130", "i").replace("\u03a3", "\u03c3").lower()


def _both_alphabets(text: str, needle: str, stands: str) -> Iterator[Form]:
    yield Form(text, needle, True, stands)
    if "+" in text or "/" in text:
        yield Form(text.translate(_URL_SAFE), needle.translate(_URL_SAFE), True, stands)


def _in_base64(content: bytes, part: bytes) -> Iterator[tuple[str, str]]:
    """The content and its beginning `part` in base64: three forms, by the offset modulo 3. Characters that share bits
    with their neighbours are left out."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode()
        first = (before * 8 + 5) // 6
        yield (
            encoded[first : (before + len(content)) * 8 // 6],
            encoded[first : (before + len(part)) * 8 // 6],
        )


def _numbers(secret: str) -> Iterator[int | float]:
    """The numbers as which a secret of digits may be returned: exact, or the nearest double."""
    if _NUMBER.fullmatch(secret):
        if secret.lstrip("+-").isdigit():
            yield int(secret)
        yield float(secret)


def _separator(secrets: Mapping[str, str]) -> str:
    """A character that no secret has, and no escape: texts are searched together, and none runs into the next."""
    used = set().union(*secrets.values())
    return next(character for character in map(chr, range(0xE000, 0xF8FF)) if character not in used)


def _spans(text: str, forms: list[Form]) -> list[tuple[int, int, str]]:
    """Where the secrets stand in the text, and what stands for each, in order and without overlaps."""
    found: list[tuple[int, int, str]] = []
    layers: list[Decoded] = []
    view, escapes = text, MAX_ESCAPES
    for _ in range(MAX_LAYERS + 1):
        for start, end, stands in _found(view, forms):
            for layer in reversed(layers):
                start, end = layer.origin(start, end)
            found.append((start, end, stands))
        try:
            following = decoded(view, escapes)
        except TooManyEscapesError as error:
            raise UnsearchableError from error
        if following is None:
            break
        layers.append(following)
        view, escapes = following.text, max(0, escapes - len(following.starts) // 2)
    return _merged(found)


def _found(view: str, forms: list[Form]) -> Iterator[tuple[int, int, str]]:
    lower = _lower(view)
    for form in forms:
        text = view if form.is_cased else lower
        start = text.find(form.needle)
        while start >= 0:
            end = start + _common(text, start, form)
            yield start, end, form.stands
            start = text.find(form.needle, end)


def _common(text: str, start: int, form: Form) -> int:
    """How many characters of the form stand there; at least its needle."""
    low, high = len(form.needle), len(form.text)
    if text.startswith(form.text, start):
        return high
    while low < high - 1:
        middle = (low + high) // 2
        if text.startswith(form.text[:middle], start):
            low = middle
        else:
            high = middle
    return low


def _merged(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The spans in order; of those that overlap, the union, named after the longest."""
    merged: list[tuple[int, int, str]] = []
    longest = 0
    for start, end, stands in sorted(found, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            begin, until, name = merged[-1]
            if end - start > longest:
                longest, name = end - start, stands
            merged[-1] = begin, max(until, end), name
        else:
            merged.append((start, end, stands))
            longest = end - start
    return merged


def _replaced(texts: list[str], spans: list[tuple[int, int, str]]) -> Iterator[str]:
    """Each text with the spans in it replaced; spans count through all texts, with a separator after each."""
    remaining, offset = deque(spans), 0
    for text in texts:
        after, position, parts = offset + len(text), offset, list[str]()
        while remaining and remaining[0][0] < after:
            start, end, stands = remaining.popleft()
            parts += text[position - offset : start - offset], stands
            position = end
        yield "".join((*parts, text[position - offset :])) if parts else text
        offset = after + 1


def _collect(value: object, texts: list[str], *, digits: bool) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            texts.append(name)
            _collect(item, texts, digits=digits)
    elif isinstance(value, list):
        for item in value:
            _collect(item, texts, digits=digits)
    elif digits and _is_long_number(value):
        texts.append(_digits(value))


def _rebuilt(value: object, texts: Iterator[str], numbers: Mapping[int | float, str], *, digits: bool) -> object:
    """The value with its texts replaced by the next ones, in the order in which `_collect` has them."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, dict):
        # The name first, as it was collected.
        return {next(texts): _rebuilt(item, texts, numbers, digits=digits) for item in value.values()}
    if isinstance(value, list):
        return [_rebuilt(item, texts, numbers, digits=digits) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = next(texts) if digits and _is_long_number(value) else None
        if value in numbers:
            return numbers[value]
        return value if text is None or text == _digits(value) else text
    return value


def _is_long_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= LONG_NUMBER


def _digits(value: int | float) -> str:
    # Python writes no integer of more digits in decimal.
    return str(value) if isinstance(value, float) or abs(value) < LONGEST_NUMBER else hex(value)
