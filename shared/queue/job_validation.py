"""What a job's data must have, checked when it is claimed: any client of Redis may have written it."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping

from shared.domain.json.values import MAX_DEPTH, parse_json
from shared.domain.timestamps import unix_seconds
from shared.errors import InvalidRequestError
from shared.ids import is_uuid
from shared.json_types import JsonMapping

Check = Callable[[object], bool]


def _is_id(value: object) -> bool:
    return isinstance(value, str) and is_uuid(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(type(text) is str for text in value.values())


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_size(value: object) -> bool:
    # What the delivery log's column holds.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and unix_seconds(value) > 0
    except ValueError:
        return False


# The fields of a delivery that `shared.domain.webhook.delivery` reads; it may have others besides.
_DELIVERY: Mapping[str, tuple[Check, str]] = {
    "workflow_id": (_is_id, "a UUID"),
    "webhook_id": (_is_id, "a UUID"),
    "delivery_id": (_is_id, "a UUID"),
    "node_id": (_is_text_or_null, "a text or null"),
    "delivery_key": (_is_text_or_null, "a text or null"),
    "event_type": (_is_text_or_null, "a text or null"),
    "provider": (_is_text, "a text"),
    "method": (_is_text, "a text"),
    "content_type": (_is_text, "a text"),
    "body_sha256": (_is_text, "a text"),
    "body": (_is_text, "a text"),
    "received_at": (_is_moment, "a time in ISO 8601"),
    "headers": (_is_of_texts, "an object of texts"),
    "query": (_is_of_texts, "an object of texts"),
    "size_bytes": (_is_size, "a whole number"),
}
# Fields that may be missing.
_OPTIONAL: Mapping[str, tuple[Check, str]] = {
    "correlation_id": (_is_text_or_null, "a text or null"),
    "trace": (_is_text_or_null, "a text or null"),
    "keep_raw_body": (_is_truth, "true or false"),
    "verified": (_is_truth, "true or false"),
}


def problem_of_delivery(delivery: JsonMapping) -> str | None:
    """What is wrong with a job's `delivery`; `None` when nothing is."""
    for name, (is_right, kind) in _DELIVERY.items():
        if name not in delivery or not is_right(delivery[name]):
            return f"The job's delivery must have a {name} that is {kind}."
    for name, (is_right, kind) in _OPTIONAL.items():
        if name in delivery and not is_right(delivery[name]):
            return f"The job's delivery may have a {name} that is {kind}."
    return _problem_of_body(delivery["body"], delivery.get("body_encoding"))


def problem_of_input(data: str, depth: int) -> str | None:
    """Why the input, so many levels deep in a job's data, could not be recorded or read by expressions; `None` when
    nothing is wrong with it."""
    try:
        parse_json(data, max_depth=MAX_DEPTH + depth, refuse_unstorable=False)
    except InvalidRequestError as error:
        return f"The job's input is none that a run may have. {error.detail}"
    return None


def problem_of_start(start: JsonMapping) -> str | None:
    """What is wrong with a job's `start`; `None` when nothing is."""
    if not _is_id(start.get("workflow_id")):
        return "The job's start must have a workflow_id that is a UUID."
    if "input" not in start:
        return "The job's start must have an input; null is one."
    return None


def _problem_of_body(body: str, encoding: object) -> str | None:
    try:
        if encoding == "base64":
            binascii.a2b_base64(body)
        elif encoding == "utf8":
            body.encode()
        else:
            return "The job's delivery must have a body_encoding that is utf8 or base64."
    except ValueError:
        return f"The job's delivery has a body that is no {encoding}."
    return None
