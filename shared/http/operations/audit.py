"""/api/events"""

from __future__ import annotations

from shared.http.operation import Answer, Operation

AUDIT_FEED = Operation(
    id="audit_feed",
    method="GET",
    path="/api/events",
    summary="Read the audit feed",
    description=(
        "Everything that has happened in the tenant, in order, missing nothing. A page ends at `limit` events or at a "
        "megabyte of payloads, whichever comes first; a larger event is a page of its own."
    ),
    tag="Events",
    role="viewer",
    scope="events:read",
    query="audit:AuditFeed",
    answers={200: Answer("A page of events", "audit:FeedPage")},
)
OPERATIONS = (AUDIT_FEED,)
