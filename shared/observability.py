"""Logs and metrics: JSON lines, written at the edges (a function's handler) under an event's name with fields.

Never a secret and never a payload: ids, names, sizes and durations say what happened. Metrics are lines too, in
CloudWatch's embedded metric format: no call, no client, no import.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

# The unit of every metric; docs/reference/metrics.md says what each of them means.
UNITS = {
    "ColdStarts": "Count",
    "RunsCompleted": "Count",
    "RunsDelayed": "Count",
    "RunsFailed": "Count",
    "RunsSwept": "Count",
    "RunsHandedBack": "Count",
    "DrainSeconds": "Seconds",
    "InvariantViolations": "Count",
    "OldestDueSeconds": "Seconds",
}
_warm = False


def edge_logger(service: str) -> Logger:
    """The logger of a function's edge; every line carries `service`, the function's name. LOG_LEVEL is its level."""
    # Imported here: the functions that every delivery waits for do without it.
    from aws_lambda_powertools import Logger

    return Logger(service=service, utc=True)


def emit(values: Mapping[str, float], **properties: str) -> None:
    """Write the metrics in `values` (of `UNITS`), with `properties` to search by; nothing outside of Lambda.

    Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    namespace = os.environ.get("METRICS_NAMESPACE")
    if not namespace:
        return
    metrics = [{"Name": name, "Unit": UNITS[name]} for name in values]
    about = {
        "Timestamp": int(time.time() * 1000),
        "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [[]], "Metrics": metrics}],
    }
    sys.stdout.write(json.dumps({"_aws": about, **properties, **values}) + "\n")
    sys.stdout.flush()


def count_cold_start(service: str) -> None:
    """Count this process's first invocation; later ones are not."""
    global _warm  # one per process, by design
    if not _warm:
        _warm = True
        emit({"ColdStarts": 1}, service=service)
