"""Logs: JSON lines, written at the edges (a function's handler) under an event's name with fields.

Never a secret and never a payload: ids, names, sizes and durations say what happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


def edge_logger(service: str) -> Logger:
    """The logger of a function's edge; every line carries `service`, the function's name. LOG_LEVEL is its level."""
    # Imported here: the functions that every delivery waits for do without it.
    from aws_lambda_powertools import Logger

    return Logger(service=service, utc=True)
