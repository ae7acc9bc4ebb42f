"""Tracing: one correlation id from the first request to the last effect, and the trace that both belong to.

A function's edge sets the context for its invocation, and the engine sets it for each run, from the metadata of the
run's first event. It is propagated into log lines, events, jobs, and the requests that effects send.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import NamedTuple

from shared.json_types import JsonMapping

# docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader; `Parent` and `Sampled` are
# set where the function itself is traced, and a root alone is what an HTTP API gives every request.
_ROOT = re.compile(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24})")
_PARENT = re.compile(r"Parent=([0-9a-f]{16})")


class CorrelationContext(NamedTuple):
    """`correlation_id` is the first request's id; `trace` is X-Ray's header, `Root=…` with `Parent=…;Sampled=…` where
    they are known, and unset without a trace."""

    correlation_id: str
    trace: str | None = None

    @classmethod
    def of_request(cls, event: JsonMapping) -> CorrelationContext | None:
        """The context of an HTTP API's request, from its event; `None` for an event without a request id."""
        request_id = (event.get("requestContext") or {}).get("requestId")
        if not request_id:
            return None
        # Lambda sets the variable anew for each invocation, with its own segment as the parent.
        headers = event.get("headers") or {}
        return cls(str(request_id), _trace(os.environ.get("_X_AMZN_TRACE_ID") or headers.get("x-amzn-trace-id") or ""))

    @classmethod
    def of(cls, metadata: JsonMapping, otherwise: str) -> CorrelationContext:
        """The context in an event's metadata or a delivery; `otherwise` is the correlation id where it has none."""
        return cls(metadata.get("correlation_id") or otherwise, metadata.get("trace"))

    def metadata(self) -> dict[str, str]:
        """`{correlation_id, trace?}`, as events and deliveries have it."""
        metadata = {"correlation_id": self.correlation_id}
        return metadata if self.trace is None else {**metadata, "trace": self.trace}

    def headers(self, span: str) -> dict[str, str]:
        """The headers that propagate the trace in a request: X-Ray's and W3C's, https://www.w3.org/TR/trace-context/;
        none without a trace.

        `span` is a UUID for the request: its first half is the parent id where no segment is known.
        """
        root = _ROOT.search(self.trace or "")
        if root is None:
            return {}
        parent = _PARENT.search(self.trace or "")
        parent_id = parent[1] if parent else span.replace("-", "")[:16]
        is_sampled = "Sampled=1" in (self.trace or "")
        return {
            "x-amzn-trace-id": f"Root={root[1]};Parent={parent_id};Sampled={is_sampled:d}",
            "traceparent": f"00-{root[1][2:].replace('-', '')}-{parent_id}-{is_sampled:02d}",
        }


_current: ContextVar[CorrelationContext | None] = ContextVar("cause", default=None)


def set_context(context: CorrelationContext | None) -> None:
    """Sets the context of this task and of those that it starts from now on."""
    _current.set(context)


def current_context() -> CorrelationContext | None:
    """This task's context; `None` where none was set."""
    return _current.get()


def _trace(header: str) -> str | None:
    """The valid parts of a trace header, which an untrusted caller may have written; `None` without a root."""
    root, parent = _ROOT.search(header), _PARENT.search(header)
    if root is None:
        return None
    sampled = [part for part in ("Sampled=1", "Sampled=0") if part in header]
    return ";".join([root[0], *([parent[0]] if parent else []), *sampled[:1]])
