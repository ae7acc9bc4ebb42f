"""Finds, compiles and evaluates expressions: JSONata between `{%` and `%}` in a parameter.

Evaluation is under limits and a pure function of the expression, its scope, clock and seed, so that a run can be
derived again. Integers beyond 2^53 lose digits. The engine runs it in a process of its own
(`shared/engine/expressions/evaluator.py`), since a native library can crash; publishing only compiles.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from jlens import Expression, JlensError

from shared.domain.expressions.quoting import MARK, Quoting
from shared.json_types import JsonMapping
from shared.platform.lru_cache import LruCache

# The names that an expression may use; `Compiled.reads` says which of them, and which of their fields, it reads. `item`
# and `index` exist in a map's body alone.
ITEM_SCOPE = ("item", "index")
SCOPE = ("trigger", "nodes", "input", "workflow", "execution", *ITEM_SCOPE)

MAX_SOURCE_CHARACTERS = 10_000
TIMEOUT_SECONDS = 1.0
# The evaluating thread's stack, 256 MB, bounds `max_steps` and `max_depth`.
LIMITS: JsonMapping = {
    "timeout": TIMEOUT_SECONDS,
    "max_depth": 300,
    "max_steps": 1_000_000,
    "max_string_length": 1_048_576,
    "max_array_length": 10_000,
    "max_result_size": 1_048_576,
}

# Precedes each expression: names are read lazily from the input, where bindings would be converted whole; and `$eval`,
# which would run untrusted text as code, is replaced.
_PRELUDE = "({names}$eval:=function($source){{$error('$eval is not available.')}};\n{source}\n)"

_EVAL = re.compile(r"\$eval\b")
MUSTACHE_SUGGESTION = "Expressions are JSONata between {% and %}, for example {% $trigger.body.id %}."


# The size of the cache of compiled expressions, in characters of their sources; each takes up to 260 bytes of memory.
# Each entry counts for some characters more, so that there are not too many of them either.
MAX_KEPT_CHARACTERS = 400_000
_ENTRY_CHARACTERS = 40


class Undefined:
    """The result of a path that leads nowhere; `null` is a value, and differs from it."""

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()


class ExpressionError(Exception):
    """An expression that does not compile, or whose evaluation failed; `code` is JSONata's."""

    def __init__(self, message: str, code: str | None = None) -> None:
        self.message, self.code = message, code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Source:
    """The source of one expression, without `{%` and `%}`."""

    text: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression ready to be evaluated. `reads` has, per name of the scope, `True` for all of it or a tree of
    fields; `others` are undefined names that it reads, `bare_names` paths that start without `$`. `reads_context`: it
    reads the whole scope at once, by `$`, `$$`, `*`, `**` or a function without an argument."""

    source: str
    expression: Expression
    reads: JsonMapping
    others: tuple[str, ...]
    bare_names: tuple[str, ...]
    reads_context: bool = False
    _exists: list[Expression] = field(default_factory=list, compare=False)

    def exists(self) -> Expression:
        """An expression for whether this one leads anywhere, compiled on first use."""
        if not self._exists:
            self._exists.append(Expression(_wrapped(f"$exists({self.source}\n)", self.reads)))
        return self._exists[0]


_kept: LruCache[str, Compiled] = LruCache(MAX_KEPT_CHARACTERS)
# For the cache above: a drain compiles large graphs in a thread.
_lock = Lock()


def split(text: str) -> tuple[str | Source, ...]:
    """The literal texts and the expressions of a parameter's text, in order; an expression without an end raises
    `ExpressionError`."""
    parts: list[str | Source] = []
    quoting = Quoting(text)
    position = 0
    while (start := text.find("{%", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        end = _end(text, quoting, start + 2)
        parts.append(Source(text[start + 2 : end].strip()))
        position = end + 2
    if position < len(text) or not parts:
        parts.append(text[position:])
    return tuple(parts)


def is_whole(parts: tuple[str | Source, ...]) -> bool:
    """Whether the text is one expression with only white space around it, so that its value keeps its type."""
    return sum(isinstance(part, Source) for part in parts) == 1 and all(
        isinstance(part, Source) or not part.strip() for part in parts
    )


def has_mustache(parts: tuple[str | Source, ...]) -> bool:
    """Whether the literal text has `{{ … }}`, which other engines evaluate and this one does not."""
    literal = (part for part in parts if isinstance(part, str))
    return any("}}" in part.partition("{{")[2] for part in literal)


def compile_expression(source: str) -> Compiled:
    """The compiled expression; one that is empty, too long, malformed or uses `$eval` raises `ExpressionError`."""
    with _lock:
        compiled = _kept.get(source)
    if compiled is None:
        # Outside of the lock: at worst two threads compile the same source, and nobody waits for another's.
        compiled = _compile(source)
        with _lock:
            _kept.put(source, compiled, _ENTRY_CHARACTERS + len(source))
    return compiled


def _compile(source: str) -> Compiled:
    if not source.strip():
        raise ExpressionError("The expression is empty.")
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise ExpressionError(f"The expression is longer than {MAX_SOURCE_CHARACTERS} characters.")
    if _EVAL.search(Quoting(source).outside()):
        raise ExpressionError("$eval is not available.")
    try:
        # On its own first: within the prelude, a source such as `1) + (2` would compile.
        reads = Expression(source).reads()
        bindings: JsonMapping = reads.get("bindings") or {}
        if reads.get("everyBinding"):
            bindings = {**bindings, **dict.fromkeys(SCOPE, True)}
        named = {name: bindings[name] for name in SCOPE if name in bindings}
        expression = Expression(_wrapped(source, named))
    except JlensError as error:
        at = "" if error.position is None else f" (at character {error.position})"
        raise ExpressionError(f"{error}{at}", error.code) from None
    context = reads.get("input")
    return Compiled(
        source,
        expression,
        named,
        tuple(name for name in bindings if name not in SCOPE),
        tuple(context) if isinstance(context, dict) else (),
        context is True,
    )


def context_problems(compiled: Compiled) -> Iterator[tuple[str, str]]:
    """(message, suggestion) for each read of the scope as a whole, which has no value: only its names have."""
    for name in compiled.bare_names:
        start = f"${name}" if name in SCOPE else f"$input.{name}"
        yield f"The path {name!r} starts nowhere.", f"Start it with a name in scope, for example {start}."
    if compiled.reads_context:
        message = "Here $, $$, * and **, or a function without its argument, would read all of the scope at once."
        yield message, "Name what is meant, for example $input, or $keys($trigger.body)."


def evaluate(compiled: Compiled, scope: JsonMapping, now_milliseconds: int, seed: int) -> object:
    """The expression's value, or `UNDEFINED`; one that fails or exceeds a limit raises `ExpressionError`."""
    try:
        value = compiled.expression.evaluate(scope, now=now_milliseconds, seed=seed, **LIMITS)
        if value is None:
            # The library returns None both for null and for nothing; a second evaluation, with the same seed and clock,
            # tells them apart.
            there = compiled.exists().evaluate(scope, now=now_milliseconds, seed=seed, **LIMITS)
            return None if there else UNDEFINED
    except JlensError as error:
        raise ExpressionError(str(error), error.code) from None
    return value


def seed_of(*parts: str) -> int:
    """The seed of `$random()`, the same for the same parts: 32 bits."""
    return zlib.crc32("\x1f".join(parts).encode())


def _wrapped(source: str, names: Iterable[str]) -> str:
    return _PRELUDE.format(names="".join(f"${name}:={name};" for name in names), source=source)


def _end(text: str, quoting: Quoting, start: int) -> int:
    end = quoting.mark(start)
    if end is None:
        # A stray quote may hide the mark; the compiler will report the quote.
        end = text.find(MARK, start)
    if end < 0:
        raise ExpressionError("The expression that starts with {% has no %} at its end.")
    return end
