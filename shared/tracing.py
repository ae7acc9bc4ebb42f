"""What led to something: one id from the first request to the last effect, and the trace that both belong to.

The edge of a function notes it for its invocation, and the engine for each run from what the run's first event says.
Whatever is written under it carries it on: log lines, events, jobs, and the requests that effects send.
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
    they are known, and unset where nobody traces."""

    correlation_id: str
    trace: str | None = None

    @classmethod
    def of_request(cls, event: JsonMapping) -> CorrelationContext | None:
        """The cause of what an HTTP API's event asks for; `None` for an event that says no id."""
        request_id = (event.get("requestContext") or {}).get("requestId")
        if not request_id:
            return None
        # Lambda sets the variable anew for each invocation, with its own segment as the parent.
        headers = event.get("headers") or {}
        return cls(str(request_id), _trace(os.environ.get("_X_AMZN_TRACE_ID") or headers.get("x-amzn-trace-id") or ""))

    @classmethod
    def of(cls, metadata: JsonMapping, otherwise: str) -> CorrelationContext:
        """The cause that an event's metadata or a delivery states; `otherwise` is the id where it states none."""
        return cls(metadata.get("correlation_id") or otherwise, metadata.get("trace"))

    def metadata(self) -> dict[str, str]:
        """`{correlation_id, trace?}`, as it stands in events and deliveries."""
        metadata = {"correlation_id": self.correlation_id}
        return metadata if self.trace is None else {**metadata, "trace": self.trace}

    def headers(self, span: str) -> dict[str, str]:
        """What a request tells of the trace: X-Ray's header and W3C's, https://www.w3.org/TR/trace-context/.

        `span` is the UUID of what is asked for: its first half is the parent where no segment is known.
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


def set_context(cause: CorrelationContext | None) -> None:
    """From here on, in this task and those it starts, `cause` is what led to what happens."""
    _current.set(cause)


def current_context() -> CorrelationContext | None:
    """What led to this; `None` where nobody has noted it."""
    return _current.get()


def _trace(header: str) -> str | None:
    """The known parts of a trace header, which a caller may have written."""
    root, parent = _ROOT.search(header), _PARENT.search(header)
    if root is None:
        return None
    sampled = [part for part in ("Sampled=1", "Sampled=0") if part in header]
    return ";".join([root[0], *([parent[0]] if parent else []), *sampled[:1]])
