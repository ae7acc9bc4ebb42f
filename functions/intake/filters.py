"""Filters of webhooks, evaluated by the engine's evaluator: under limits, in a child process that can be killed."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from shared.domain.expressions.templates import compile_template, reads
from shared.engine.expressions.evaluator import expression_evaluator
from shared.engine.expressions.evaluator_process import EvaluationError
from shared.engine.expressions.requests import EvaluatedTemplate, Level, Request, RunData
from shared.json_types import JsonObject

logger = logging.getLogger(__name__)

KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}


async def filters_out(expression: str, trigger: JsonObject) -> str | None:
    """Why the expression, like `{% $trigger.body.n > 1 %}`, keeps a delivery out; `None` where it holds.

    A path that leads nowhere does not hold. An expression that fails, or whose value is not a boolean, keeps the
    delivery out too: it can be redelivered from the delivery log, whereas a run cannot be undone.
    """
    template, data = _template(expression), RunData()
    names = [name for name in ("trigger",) if name in template.reads]
    now = time.time_ns() // 1_000_000
    level = Level(data, names, [], lambda _: trigger, lambda _: None)
    request = Request(template, level, [], now, 0)
    try:
        value = (await expression_evaluator().fill(request)).parameters.get("value")
    except EvaluationError as error:
        logger.info("filter_failed", extra={"error": error.message})
        return f"filter_failed: {error.message}"
    finally:
        # The evaluator's process keeps what it was sent until it is told to forget it.
        expression_evaluator().forget(data)
    if value is None or isinstance(value, bool):
        return None if value else "filter"
    return f"filter_failed: it gave {KINDS.get(type(value), 'a number')}, not true or false"


@lru_cache(maxsize=256)
def _template(expression: str) -> EvaluatedTemplate:
    parameters = {"value": expression}
    return EvaluatedTemplate(parameters, reads(compile_template(parameters)))
