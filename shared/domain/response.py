"""The reply to a client that waits for a run, and the headers that such a reply may not set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.domain.execution.state import ExecutionState


# Headers that change how the gateway or a browser reads a reply, or that concern our whole host.
FORBIDDEN_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "set-cookie", "location", "content-type", "date", "server"}
)

# Headers with power over a browser or over our whole origin, which no tenant's answer has: they are left out.
_POWERFUL = frozenset(
    {
        *("accept-ch", "alt-svc", "clear-site-data", "critical-ch", "document-policy", "expect-ct", "feature-policy"),
        *("integrity-policy", "link", "nel", "no-vary-search", "observe-browsing-topics", "origin-agent-cluster"),
        *("permissions-policy", "public-key-pins", "refresh", "report-to", "reporting-endpoints", "service-worker"),
        *("service-worker-allowed", "set-login", "sourcemap", "speculation-rules", "strict-transport-security"),
        *(
            "supports-loading-mode",
            "timing-allow-origin",
            "use-as-dictionary",
            "x-content-type-options",
            "x-dns-prefetch",
        ),
        *("x-dns-prefetch-control", "x-frame-options", "x-permitted-cross-domain-policies", "x-sourcemap"),
        *("x-xss-protection", "activate-storage-access", "attribution-reporting-register-source"),
    }
)
_POWERFUL_PREFIXES = ("access-control-", "content-security-policy", "cross-origin-", "sec-", "proxy-")


def is_powerful(header: str) -> bool:
    """Whether a header, in any case, acts on more than the answer that it comes with."""
    name = header.lower()
    return name in _POWERFUL or name.startswith(_POWERFUL_PREFIXES)


def answer_of(state: ExecutionState) -> JsonObject | None:
    """`{response: {status, headers, body}}` of a run with a response, `{status, output}` of one that has ended without
    one, else `None`."""
    if state.response is not None:
        return {"response": {name: state.response[name] for name in ("status", "headers", "body")}}
    return {"status": state.phase, "output": state.output} if state.is_terminal else None
