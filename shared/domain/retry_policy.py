"""The retry policy of a node: ordered retriers by error class, exponential backoff, full jitter.

No randomness here: the jitter's random number is passed in and the resulting delay is recorded, so that a run can be
derived again exactly. Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
Jobs that fail for the engine's own reasons are tried again by `engine/drain/worker.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import Problem
from shared.json_types import JsonObject

# The error classes that the engine itself uses; a node type may have more.
ERROR_CLASSES = (
    "timeout",
    "network",
    "http_4xx",
    "http_429",
    "http_5xx",
    "invalid_output",
    "limit",
    "expression",
    "invalid_parameters",
)
ALL = "all"
# The longest Retry-After that is followed.
LONGEST_RETRY_AFTER_SECONDS = 86_400.0

_NUMBERS = {
    "max_attempts": (1, 100),
    "initial_interval_seconds": (0, 86_400),
    "backoff_rate": (1, 10),
    "max_interval_seconds": (0, 86_400),
}


@dataclass(frozen=True, slots=True)
class Retrier:
    """Retries an attempt that failed with one of `errors`, up to `max_attempts` in total."""

    errors: tuple[str, ...] = (ALL,)
    max_attempts: int = 3
    initial_interval_seconds: float = 1.0
    backoff_rate: float = 2.0
    max_interval_seconds: float = 60.0

    def as_json(self) -> JsonObject:
        """The retrier as JSON, as in a graph."""
        return {name: getattr(self, name) for name in Retrier.__slots__} | {"errors": list(self.errors)}


def delay_seconds(
    retriers: Sequence[Retrier], code: str, attempt: int, draw: float, retry_after_seconds: float | None = None
) -> float | None:
    """The backoff after attempt number `attempt` failed with `code`; `None` where it is not retried.

    The first retrier that names the code decides. `draw` is a random number, uniform in [0, 1). `retry_after_seconds`,
    the server's Retry-After, is a lower bound.
    """
    for retrier in retriers:
        if code in retrier.errors or ALL in retrier.errors:
            if attempt >= retrier.max_attempts:
                return None
            # The exponent is bounded so that the hundredth attempt does not overflow.
            backoff = retrier.initial_interval_seconds * retrier.backoff_rate ** min(attempt - 1, 64)
            waited = draw * min(backoff, retrier.max_interval_seconds)
            return max(waited, min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS))
    return None


def parse_retrier(value: object, pointer: str) -> tuple[Retrier, list[Problem]]:
    """The retrier in a graph's JSON, and its problems."""
    if not isinstance(value, dict):
        return Retrier(), [Problem(pointer, "A retrier must be an object.", 'For example {"errors": ["http_5xx"]}.')]
    problems: list[Problem] = []
    fields: JsonObject = {}
    for name, item in value.items():
        if name == "errors":
            if isinstance(item, list) and item and all(isinstance(code, str) and code for code in item):
                fields["errors"] = tuple(item)
            else:
                problems.append(Problem(f"{pointer}/errors", "Must be a list of error classes.", _known_classes()))
        elif name in _NUMBERS:
            low, high = _NUMBERS[name]
            number = isinstance(item, (int, float)) and not isinstance(item, bool)
            if number and low <= item <= high and (name != "max_attempts" or isinstance(item, int)):
                fields[name] = item
            else:
                problems.append(Problem(f"{pointer}/{name}", f"Must be a number from {low} to {high}."))
        else:
            known = ", ".join(Retrier.__slots__)
            problems.append(Problem(f"{pointer}/{name}", "A retrier has no such key.", f"It has {known}."))
    return Retrier(**fields), problems


def _known_classes() -> str:
    return f"The classes are {', '.join(ERROR_CLASSES)} and {ALL}."
