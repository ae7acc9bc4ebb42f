"""Logs and metrics: JSON lines, written at the edges (a function's handler) under an event's name with fields.

Never a secret and never a payload: ids, names, sizes and durations say what happened. Metrics are lines too, in
CloudWatch's embedded metric format: no call, no client, no import. Frequent events are counted in memory, and one line
has the totals of many.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from shared.json_types import JsonMapping
from shared.tracing import CorrelationContext, current_context, set_context

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

# The unit of every metric; docs/reference/metrics.md says what each of them means.
UNITS = {
    "ColdStarts": "Count",
    "DeliveriesAccepted": "Count",
    "DeliveriesDuplicate": "Count",
    "DeliveriesFiltered": "Count",
    "DeliveriesThrottled": "Count",
    "DeliveriesRejectedSignature": "Count",
    "DeliveriesRejectedStale": "Count",
    "DeliveriesRejectedMalformed": "Count",
    "DeliveriesPaused": "Count",
    "DeliveriesUnpublished": "Count",
    "DeliveriesHeld": "Count",
    "DeliveriesHandshake": "Count",
    "DeliveriesSpilled": "Count",
    "LedgerLinesPutAside": "Count",
    "RunsSucceeded": "Count",
    "RunsFailed": "Count",
    "RunsCancelled": "Count",
    "RunsWaiting": "Count",
    "RunsSwept": "Count",
    "JobsCompleted": "Count",
    "JobsDelayed": "Count",
    "JobsFailed": "Count",
    "JobsHandedBack": "Count",
    "JobsAbandoned": "Count",
    "SweepItemsFailed": "Count",
    "KeeperErrors": "Count",
    "KeepersDied": "Count",
    "QueueAgeSeconds": "Seconds",
    "AppendBatchSize": "Count",
    "AppendsPutAside": "Count",
    "DrainSeconds": "Seconds",
    "DrainPlacesPercent": "Percent",
    "DrainCpuPercent": "Percent",
    "InvariantViolations": "Count",
    "OldestDueSeconds": "Seconds",
}
_warm = False
_fields: ContextVar[Mapping[str, str] | None] = ContextVar("fields", default=None)


# -- logs ------------------------------------------------------------------------------------------------------------


def edge_logger(service: str) -> Logger:
    """The logger of a function's edge; every line carries `service`, the function's name. LOG_LEVEL is its level."""
    # Imported here, because it is slow: intake, for which every provider waits, does without it.
    from aws_lambda_powertools import Logger

    logger = Logger(service=service, utc=True)
    # Powertools' own setLevel yields to the runtime's level, which must be INFO for metrics to be written.
    logging.getLogger(service).setLevel(_level())
    logger.addFilter(_add_fields)
    return logger


def begin(service: str, event: JsonMapping) -> None:
    """What an HTTP function does first: sets the request as the correlation context of all that follows."""
    count_cold_start(service)
    set_context(CorrelationContext.of_request(event))


@contextmanager
def tagged(**fields: str) -> Iterator[None]:
    """Adds these fields to all log lines inside the block, in this task and in those that it starts."""
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def _level() -> str:
    return os.environ.get("LOG_LEVEL") or "INFO"


def _add_fields(record: logging.LogRecord) -> bool:
    """A log filter that drops nothing and adds fields; a line's own fields take precedence."""
    for name, value in (_fields.get() or {}).items():
        record.__dict__.setdefault(name, value)
    if (context := current_context()) is not None:
        record.__dict__.setdefault("correlation_id", context.correlation_id)
    return True


# -- metrics ---------------------------------------------------------------------------------------------------------

_sums: dict[str, float] = {}
_highest: dict[str, float] = {}
_means: dict[str, tuple[float, int]] = {}


def count(name: str, more: float = 1) -> None:
    """Adds to a metric, whose sum the next line has."""
    _sums[name] = _sums.get(name, 0) + more


def highest(name: str, value: float) -> None:
    """The next line has the highest of these values."""
    if value > _highest.get(name, -1.0):
        _highest[name] = value


def mean(name: str, value: float) -> None:
    """The next line has the mean of these values."""
    total, size = _means.get(name, (0.0, 0))
    _means[name] = (total + value, size + 1)


def flush(**properties: str) -> None:
    """Write what has been counted since the last line, if anything has."""
    values = {**_sums, **_highest, **{name: total / size for name, (total, size) in _means.items()}}
    for metrics in (_sums, _highest, _means):
        metrics.clear()
    if values:
        emit({name: round(value, 3) for name, value in values.items()}, **properties)


def emit(values: Mapping[str, float], **properties: str) -> None:
    """Write the metrics in `values` (of `UNITS`), with `properties` to search by; nothing outside of Lambda.

    Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    namespace = os.environ.get("METRICS_NAMESPACE")
    if not namespace:
        return
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in values]
    header = {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [[]], "Metrics": metrics}],
    }
    sys.stdout.write(json.dumps({"_aws": header, **properties, **values}) + "\n")
    sys.stdout.flush()


def count_cold_start(service: str) -> None:
    """Count this process's first invocation, and let its log lines have fields; later ones change nothing."""
    global _warm  # one per process, by design
    if not _warm:
        _warm = True
        root = logging.getLogger()
        for handler in root.handlers:  # the runtime's own
            handler.addFilter(_add_fields)
        if "AWS_LAMBDA_LOG_LEVEL" in os.environ:
            root.setLevel(_level())
        emit({"ColdStarts": 1}, service=service)
