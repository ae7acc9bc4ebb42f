"""Untrusted JSON, strictly: RFC 8259 in UTF-8, bounded depth, finite numbers, text that Postgres can keep.

Python's own parser takes NaN and Infinity, turns 1e400 into infinity, lets NUL and half surrogate pairs through (jsonb
refuses both) and fails on deep nesting with a RecursionError. Here each of these is an `InvalidRequestError` that
points at the place. One megabyte of any of them costs milliseconds.
"""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NoReturn, TypeVar, cast

from shared.errors import InvalidRequestError, Problem
from shared.json_types import JsonObject

Result = TypeVar("Result")
Value = TypeVar("Value")
Container = dict[str, object] | list[object]

MAX_DEPTH = 100
# From this many characters on, a text is parsed with the garbage collector off.
LARGE = 65_536
# From this many lists and objects on one level, each is counted once: they may be few that are shared.
MANY = 1_000_000
# A double can hold any integer of this many digits. Larger ones become infinity in the expression language, except
# some of one digit more.
SAFE_INTEGER_DIGITS = 308

# To find long runs of digits fast: checking every number would double the time that parsing takes.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG_RUN = b"0" * (SAFE_INTEGER_DIGITS + 1)

# Postgres cannot store NUL, and lone surrogates cannot be encoded in UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Only these escapes can produce one: a raw NUL is not JSON, a raw surrogate not UTF-8.
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def parse_json(
    raw: bytes | str, *, max_depth: int = MAX_DEPTH, refuse_unstorable: bool = True, refuse_duplicates: bool = False
) -> object:
    """The value in `raw`; malformed JSON raises `InvalidRequestError` with a pointer to the place.

    Without `refuse_unstorable` NUL and lone surrogates are let through: see `storable`. Of duplicate names the last
    wins, unless `refuse_duplicates`.
    """
    text = _text(raw)
    try:
        value = decoded(text, _decoder(text, refuse_duplicates).decode)
    except json.JSONDecodeError as error:
        _refuse(f"This is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.")
    except RecursionError:
        _refuse_depth(max_depth)
    if text.count("[") + text.count("{") > max_depth and _tree_deeper_than(value, max_depth):
        _refuse_depth(max_depth)
    if refuse_unstorable and _SUSPICIOUS.search(text):
        # Only the first ones: a hostile document may hold nothing else.
        problems = tuple(
            Problem(pointer, "The text has a NUL character or half of a surrogate pair, which cannot be stored.")
            for pointer in islice(_unstorable(value, ""), 20)
        )
        if problems:
            raise InvalidRequestError(problems[0].message, problems=problems)
    return value


def storable(value: Value) -> Value:
    """The value with each NUL and each half surrogate pair in its texts and names as U+FFFD; itself where it has none.
    Noncharacters such as U+FFFF are text to Postgres, and stay."""
    return cast("Value", _storable(value))


def _storable(value: object) -> object:
    if isinstance(value, str):
        return _storable_text(value)
    if isinstance(value, dict):
        return _storable_object(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _storable_text(text: str) -> str:
    # Nearly every text is ASCII, which is known of it without a look at its characters.
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def _storable_object(value: JsonObject) -> JsonObject:
    # One look at all names and texts together: nearly every record is ASCII, and this is done for each delivery.
    texts, others = [*value], []
    for name, item in value.items():
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, (dict, list)):
            others.append(name)
    joined = "".join(texts)
    if not joined.isascii() or "\0" in joined:
        return {_storable_text(name): _storable(item) for name, item in value.items()}
    if not others:
        return value
    return {**value, **{name: _storable(value[name]) for name in others}}


def may_be_unstorable(text: str) -> bool:
    """Whether a JSON text, as Python writes it, may have NUL or half a surrogate pair: one search rules most texts out.
    True also for a whole pair, whose escapes look like two halves."""
    return _SUSPICIOUS.search(text) is not None


def is_storable(text: str) -> bool:
    """Whether the text has neither NUL nor half a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def first_repeated(names: Iterable[str]) -> str:
    """The first name that repeats an earlier one; raises `ValueError` where none does."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("No name is there twice.")


def same_json(left: object, right: object) -> bool:
    """Whether two values are the same JSON, whatever the order of keys; numbers are compared as JSONata's are, as
    doubles, for the database writes 1e+23 with all its digits."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(value, right[name]) for name, value in left.items())
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right or float(left) == float(right)
    return bool(left == right)


def size_bytes(value: object) -> int:
    """How many bytes the value takes as JSON."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def sent_bytes(text: str) -> int:
    """How many bytes a JSON text takes as a response's body: that is itself a text in the JSON that a function returns,
    where quotes and backslashes are escaped once more."""
    return len(text.encode("utf-8", "surrogatepass")) + text.count('"') + text.count("\\")


def decoded(text: str, decode: Callable[[str], Result]) -> Result:
    """The result of `decode` on a text, for a large one with the garbage collector off: it would run the more often the
    more objects are made, and a text of nothing but small lists would take six times as long."""
    if len(text) < LARGE or not gc.isenabled():
        return decode(text)
    gc.disable()
    try:
        return decode(text)
    finally:
        gc.enable()


def deeper_than(value: object, limit: int) -> bool:
    """Whether lists and objects are nested more than `limit` deep; a value that is shared counts once."""
    level: list[Container] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        level = _distinct(_children(level))
        if not level:
            return False
    return bool(level)


def _children(level: list[Container]) -> list[Container]:
    """The lists and objects that are direct members of these."""
    return [
        child
        for parent in level
        if parent
        for child in (parent.values() if type(parent) is dict else parent)
        if type(child) is dict or type(child) is list
    ]


def _distinct(values: list[Container]) -> list[Container]:
    """Each value once, where there are very many: they may be few that are shared, and double from level to level. Few
    values are returned as they are, as finding duplicates takes ten times as long as the rest of the walk."""
    return values if len(values) < MANY else list({id(value): value for value in values}.values())


def _tree_deeper_than(value: object, limit: int) -> bool:
    """As `deeper_than`, for a value just parsed, in which nothing is shared: in a sixth of the time."""
    level: list[Container] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        level = _children(level)
        if not level:
            return False
    return bool(level)


def pointer_of(*path: str | int) -> str:
    """The JSON pointer (RFC 6901) of a path of names and indices; of an empty path, the empty text."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _text(raw: bytes | str) -> str:
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse(f"This is not valid JSON: byte {error.start} is not UTF-8.")


def _unstorable(value: object, pointer: str) -> Iterator[str]:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            yield pointer
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if _UNSTORABLE.search(name):
                yield pointer  # the name itself could not be sent back
            else:
                yield from _unstorable(item, pointer + pointer_of(name))


def _integer(digits: str) -> int:
    _decimal(digits)
    return int(digits)


def _decimal(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        _refuse("A number is too large.")
    return number


def _constant(name: str) -> NoReturn:
    _refuse(f"This is not valid JSON: {name} is not a JSON number.")


def _unique(pairs: list[tuple[str, object]]) -> JsonObject:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = first_repeated(name for name, _ in pairs)
        _refuse(f"The name {_UNSTORABLE.sub('?', twice)[:80]!r} appears twice in one object.")
    return members


def _refuse_depth(limit: int) -> NoReturn:
    _refuse(f"The JSON is nested more than {limit} levels deep.")


def _refuse(message: str) -> NoReturn:
    raise InvalidRequestError(message, problems=(Problem("", message),)) from None


def _decoder(text: str, refuse_duplicates: bool) -> json.JSONDecoder:
    names = _unique if refuse_duplicates else None
    long_run = _LONG_RUN in text.encode("utf-8", "surrogatepass").translate(_DIGITS_TO_ZERO)
    return json.JSONDecoder(
        object_pairs_hook=names,
        parse_float=_decimal,
        parse_int=_integer if long_run else None,
        parse_constant=_constant,
    )
