"""Writes a text into a place of a delivery, as a sender would: the other direction of
`shared/webhooks/signatures/fields.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

from shared.webhooks.delivery import Delivery
from shared.webhooks.signatures.fields import parse_field
from shared.webhooks.signatures.json_path import Step, parse_path, values


def chosen(places: Sequence[str], delivery: Delivery) -> str:
    """The place, out of several and of their alternatives, at which something stands already; else the first."""
    alternatives = [alternative.strip().removesuffix("?") for place in places for alternative in place.split(" / ")]
    return next((alternative for alternative in alternatives if _stands(alternative, delivery)), alternatives[0])


def write_field(delivery: Delivery, place: str, text: str) -> Delivery:
    """The delivery with the text at a place like `header:X-Id`, `query:id`, `json:a.b`, `form:id` or
    `form:data|json:id`; `ValueError` where its body is not of that form."""
    base, *inner = place.split("|")
    kind, _, name = base.partition(":")
    match kind:
        case "header":
            return replace(delivery, headers={**delivery.headers, name.lower(): text})
        case "query":
            query = {**dict(parse_qsl(delivery.raw_query, keep_blank_values=True)), **delivery.query, name: text}
            return replace(delivery, query=query, raw_query=urlencode(query))
        case "json":
            return replace(delivery, body=_in_json(delivery.body, name, text))
        case "form":
            return _in_form(delivery, name, text, inner[0].removeprefix("json:") if inner else None)
    raise ValueError(f"Nothing can be written at {place}.")


def swapped(delivery: Delivery, place: str, old: str, new: str) -> Delivery:
    """The delivery with the text `old` at a place replaced by `new`; nothing else in the body or query is written
    again."""
    if place.startswith("json:"):
        return replace(delivery, body=delivery.body.replace(old.encode(), new.encode()))
    before, after = quote_plus(old), quote_plus(new)
    if place.startswith("form:"):
        return replace(delivery, body=delivery.body.replace(before.encode(), after.encode()))
    query = delivery.raw_query.replace(before, after)
    return replace(delivery, raw_query=query, query=dict(parse_qsl(query, keep_blank_values=True)))


def put_in_items(delivery: Delivery, items: str, texts: Sequence[tuple[Any, str]], path: str) -> Delivery:
    """The delivery with each item's text at the path within it; `texts` are items as they were read, in order."""
    whole = json.loads(delivery.body)
    for item, (_, text) in zip(values(whole, parse_path(items)), texts, strict=True):
        _set(item, parse_path(path), text)
    return replace(delivery, body=_dumped(whole))


def _stands(place: str, delivery: Delivery) -> bool:
    return parse_field(place)(delivery) is not None


def _in_json(body: bytes, path: str, text: str) -> bytes:
    try:
        whole = json.loads(body)
    except ValueError as error:
        raise ValueError(f"The body must be JSON: something stands in it at {path}.") from error
    steps = parse_path(path)
    old = next(values(whole, steps), None)
    if isinstance(old, str) and old and body.count(json.dumps(old).encode()) == 1:
        # Left as it was written: some senders sign the text around it.
        return body.replace(json.dumps(old).encode(), json.dumps(text).encode())
    _set(whole, steps, int(text) if isinstance(old, int) and text.isdigit() else text)
    return _dumped(whole)


def _in_form(delivery: Delivery, name: str, text: str, path: str | None) -> Delivery:
    fields = [*(delivery.form or ())]
    if delivery.form is None and delivery.body:
        raise ValueError(f"The body must be a form: something stands in it as {name}.")
    if path is not None:
        old = next((value for field, value in fields if field == name), "{}")
        text = _in_json(old.encode(), path, text).decode()
    if any(field == name for field, _ in fields):
        fields = [(field, text if field == name else value) for field, value in fields]
    else:
        fields.append((name, text))
    return replace(delivery, body=urlencode(fields).encode())


def _set(value: Any, steps: tuple[Step, ...], text: object) -> None:
    """Writes at the path, of lists at their first item, and makes the objects on the way."""
    step, rest = steps[0] if steps[0] is not None else 0, steps[1:]
    if isinstance(value, list):
        if not isinstance(step, int) or step >= len(value):
            raise ValueError("The body's list has no item to write into.")
    elif not isinstance(value, dict):
        raise ValueError("The body must be a JSON object: something stands in it.")
    if not rest:
        value[step] = text
        return
    if isinstance(value, dict):
        value.setdefault(step, {})
    _set(value[step], rest, text)


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
