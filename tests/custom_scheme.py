"""A scheme that a tenant has written, for webhooks of the provider `custom`."""

from __future__ import annotations

from shared.json_types import JsonObject

# HMAC-SHA256 of the body under the text of the secret.
SCHEME: JsonObject = {
    "kind": "hmac",
    "algorithm": "sha256",
    "content": "{body}",
    "key_encoding": "utf8",
    "signature": {"in": "header:X-Sign", "encoding": "hex"},
}
# A handshake that nobody signs: `GET ?c=…` is answered with what `c` is.
ASKED: JsonObject = {"method": "GET", "signed": False, "when": {"query:c": ""}, "body": "{query:c}"}
