"""`python -m local verify`: explains deliveries offline. JSON lines in, one line out for each.

In: `{provider, secret, secrets?, url, method, headers, body, body_encoding: utf8|base64, now, aux?}`; `aux` holds extra
configuration, or what would be fetched: `{config?, certificate?, jwks?, public_key?, …}`. Out: `{result: accept|reject,
reason, delivery_id, event_type, handshake: {status, headers, body}|null}`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from typing import IO, Any
from urllib.parse import parse_qsl

from shared.json_types import JsonMapping, JsonObject
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.intake.delivery_key import delivery_key, event_type
from shared.webhooks.intake.diagnosis import diagnose
from shared.webhooks.intake.pipeline import examine
from shared.webhooks.providers.catalog import provider as find_provider
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.configuration import options_of
from shared.webhooks.providers.handshake import HandshakeAnswer
from shared.webhooks.signatures.fetched_keys import keys_in_document
from shared.webhooks.signatures.scheme import Scheme
from shared.webhooks.signatures.timestamps import UNITS

DOCUMENTS = (
    "fetched",
    "certificate",
    "certificates",
    "cert",
    "cert_pem",
    "certs",
    "jwks",
    "jwk",
    "jwks_json",
    "keys",
    "public_key",
)


def main(argv: Sequence[str]) -> int:
    """0 when every line could be read, else 1."""
    parser = argparse.ArgumentParser(prog="python -m local verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", nargs="?", help="a file of JSON lines; unset: the standard input")
    options = parser.parse_args(argv)
    if options.file is None:
        return run(sys.stdin, sys.stdout)
    with open(options.file, encoding="utf-8") as lines:  # noqa: PTH123  # a stream like the standard input
        return run(lines, sys.stdout)


def run(lines: IO[str], out: IO[str]) -> int:
    """Explains line by line; the exit code."""
    code = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            explained = explain(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            explained = _rejected(f"input_malformed: {error}")
            code = 1
        out.write(json.dumps(explained) + "\n")
        out.flush()
    return code


def explain(request: JsonMapping) -> JsonObject:
    """Intake's verdict on this delivery, in the form of the module's docstring."""
    data = provider_data(str(request["provider"]))
    if data is None:
        return _rejected("unknown_provider")
    aux = dict(request.get("aux") or {})
    config = {**(aux.get("config") or {})}
    config |= {
        name: aux[name] for name in aux if name in options_of(data) or (name not in DOCUMENTS and name != "config")
    }
    provider = find_provider(data["id"], config)
    assert provider is not None, "its data was found"
    delivery, now = _delivery(request, config), _time(request.get("now"))
    secrets = [text for text in [request.get("secret"), *(request.get("secrets") or [])] if isinstance(text, str)]
    if provider.scheme.kind == "none" and config.get("accept_unverified") is not True:
        return _rejected("unverified_not_accepted")
    keys = _public_keys(provider.scheme, delivery, aux, secrets, now)
    examined = examine(provider, delivery, secrets, now, keys)
    if examined.handshake is not None:
        handshake = examined.handshake
        return {
            "result": "accept" if handshake.accepted else "reject",
            "reason": "handshake" if handshake.accepted else "handshake_refused",
            "delivery_id": None,
            "event_type": None,
            "handshake": _handshake(handshake),
        }
    if examined.verification is None:
        return _rejected("method_not_used")
    if examined.verification.reason is not None:
        return _rejected(diagnose(provider, delivery, secrets, now, examined.verification.reason)[1])
    sha256 = hashlib.sha256(delivery.body).hexdigest()
    return {
        "result": "accept",
        "reason": None,
        "delivery_id": delivery_key(provider, delivery, sha256, examined.verification.timestamp),
        "event_type": event_type(provider, delivery),
        "handshake": None,
    }


def _delivery(request: JsonMapping, config: JsonMapping) -> Delivery:
    url, _, query = str(request.get("url") or "").partition("?")
    body = request.get("body") or ""
    raw = base64.b64decode(body) if request.get("body_encoding") == "base64" else body.encode("utf-8", "surrogatepass")
    headers_in = request.get("headers") or {}
    headers: dict[str, str] = {}
    for name, value in headers_in.items() if isinstance(headers_in, dict) else headers_in:
        # As API Gateway does: names in lower case, repeated ones joined.
        for text in value if isinstance(value, list) else [value]:
            lower = str(name).lower()
            headers[lower] = f"{headers[lower]},{text}" if lower in headers else str(text)
    return Delivery(
        method=str(request.get("method") or "POST").upper(),
        headers=headers,
        body=raw,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        url=url,
        config=config,
        raw_query=query,
    )


def _time(now: object) -> float:
    if now is None:
        return time.time()
    if isinstance(now, str):
        seconds = UNITS["iso8601"](now)
        return float(now) if seconds is None else seconds
    return float(now)  # type: ignore[arg-type]  # another type is reported as `input_malformed`


def _public_keys(scheme: Scheme, delivery: Delivery, aux: JsonMapping, secrets: Sequence[str], now: float) -> list[Any]:
    if scheme.fetch is None:
        return []
    # A place that the delivery names must be the provider's; one that the file or configuration names is not asked.
    named = any(field.startswith(("header:", "json:")) for field in scheme.fetch.url.fields)
    if named and scheme.fetch.url_for(SignatureContext(delivery)) is None:
        return []
    documents = [aux[name] for name in DOCUMENTS if name in aux] or list(secrets)
    keys: list[Any] = []
    for document in documents:
        for part in document.values() if isinstance(document, dict) and "keys" not in document else [document]:
            keys += _keys_in(part, scheme, delivery, now)
        if isinstance(document, dict) and "kty" in document:
            keys += _keys_in({"keys": [document]}, scheme, delivery, now)
    return keys


def _keys_in(document: object, scheme: Scheme, delivery: Delivery, now: float) -> list[Any]:
    if isinstance(document, dict) and "keys" not in document and "kty" in document:
        document = {"keys": [document]}
    if isinstance(document, list):
        document = {"keys": document}
    text = document if isinstance(document, str) else json.dumps(document)
    kind = "jwks" if text.lstrip().startswith("{") else "x509" if "BEGIN CERTIFICATE" in text else "pem"
    wanted = None
    if scheme.kind == "jwt":
        from shared.webhooks.signatures.jwt import key_id

        wanted = key_id(scheme, delivery)
    return keys_in_document(text.encode(), kind, wanted, now)[0]


def _handshake(handshake: HandshakeAnswer) -> JsonObject:
    answer = handshake.answer
    return {
        "status": answer.status,
        "headers": {"content-type": answer.content_type, **answer.headers},
        "body": answer.body.decode("utf-8", "replace"),
    }


def _rejected(reason: str) -> JsonObject:
    return {"result": "reject", "reason": reason, "delivery_id": None, "event_type": None, "handshake": None}
