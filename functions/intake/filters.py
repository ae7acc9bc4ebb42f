"""Filters of webhooks, evaluated by the engine's guard: under limits, in a child process that can be killed."""

from __future__ import annotations

import logging
import time
from functools import cache, lru_cache
from typing import Any

from shared.domain.templates import compile_template, reads
from shared.engine.expression_child import EvaluationError
from shared.engine.expressions import ExpressionGuard, GuardedTemplate, Level, Request, RunData

logger = logging.getLogger(__name__)


async def holds(expression: str, trigger: dict[str, Any]) -> bool:
    """Whether the expression, like `{% $trigger.body.n > 1 %}`, holds for a delivery. A path that leads nowhere does
    not; an expression that fails lets the delivery through, for nothing is dropped for a mistake of the filter."""
    template, data = _template(expression), RunData()
    names = [name for name in ("trigger",) if name in template.reads]
    now = time.time_ns() // 1_000_000
    level = Level(data, names, [], lambda _: trigger, lambda _: None)
    request = Request(template, level, [], now, 0)
    try:
        value = (await _guard().fill(request)).parameters.get("value", False)
    except EvaluationError as error:
        logger.warning("filter_failed", extra={"error": error.message})
        return True
    finally:
        _guard().forget(data)
    return value is not False and value is not None


@lru_cache(maxsize=256)
def _template(expression: str) -> GuardedTemplate:
    parameters = {"value": expression}
    return GuardedTemplate(parameters, reads(compile_template(parameters)))


@cache
def _guard() -> ExpressionGuard:
    return ExpressionGuard()
