"""Transforms of a template's fields: named in the provider's file, never tried as a fallback.

sha256 sha1 sha384 sha512 md5     the digest's bytes          hmac:sha256    the same under the webhook's key
hex HEX base64 base64url          bytes as text               crc32          decimal digits
lower upper strip nfkd            of text                     json:a.b       a value in text that is JSON
json_string                       text as a JSON string       sorted_json    parsed, written again by RFC 8785
compact_json ascii_json           written again in order; ascii_json escapes what is not ASCII
escape_non_ascii                  the bytes' characters above ASCII as \\uXXXX, nothing else touched
gunzip                            inflated where the bytes are gzip
from_hex from_base64              text as bytes
url_decode url_encode hubspot_decode     of URLs
without_query sorted_query with_port     of URLs
within:A*B                        A and B around what is there and not empty, nothing around nothing
before:X after:X                  the part up to, or after, the first X
header_lines header_values:X      of the headers that are named, `name:value` joined by `;`, or values joined by X
with_secret_at:a.b                the body with the secret where this JSON text stands
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError
from shared.webhooks.signatures.canonical_json import canonical, string
from shared.webhooks.signatures.encodings import DECODERS, as_bytes, as_text
from shared.webhooks.signatures.json_path import parse_path, text_of, values

if TYPE_CHECKING:
    from shared.webhooks.delivery import SignatureContext

Value = bytes | str | None
# Is called with a value that is there; a missing one stays missing.
Transform = Callable[[bytes | str, "SignatureContext"], Value]

HASHES = ("md5", "sha1", "sha256", "sha384", "sha512")
MAX_INFLATED_BYTES = 20_000_000
# By which factor a body may grow: zeros would by a thousand.
MAX_INFLATION = 100
LEAST_INFLATED_BYTES = 65_536
# How many headers a sender may say that it has signed.
MAX_HEADERS = 100
_HUBSPOT = {"%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'", "%28": "(", "%29": ")"}
_HUBSPOT |= {"%2A": "*", "%2C": ",", "%3B": ";"}


def transform(text: str) -> Transform:
    """The transform that `name` or `name:argument` names; an unknown one raises `ValueError`."""
    name, _, argument = text.partition(":")
    if name in _PLAIN and not argument:
        return _PLAIN[name]
    if name in _WITH_ARGUMENT and argument:
        return _WITH_ARGUMENT[name](argument)
    known = ", ".join((*_PLAIN, *(f"{name}:…" for name in _WITH_ARGUMENT)))
    raise ValueError(f"{text!r} is no transform; there are {known}.")


def _digest(name: str) -> Transform:
    return lambda value, _: hashlib.new(name, as_bytes(value), usedforsecurity=False).digest()


def _of_text(change: Callable[[str], str]) -> Transform:
    return lambda value, _: change(as_text(value))


def _json(value: bytes | str, write: Callable[[object], str | None]) -> str | None:
    try:
        return write(parse_json(value, refuse_unstorable=False))
    except InvalidRequestError:
        return None


def _gunzip(value: bytes | str, context: SignatureContext) -> Value:
    raw = as_bytes(value)
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    # 31: gzip alone, with the checksum at its end.
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(raw, min(MAX_INFLATED_BYTES, LEAST_INFLATED_BYTES + MAX_INFLATION * len(raw)))
    except zlib.error:
        return None
    # Cut off, or larger than the bound.
    if not inflater.eof:
        return None
    if raw is context.delivery.body:
        context.delivery.work.inflated(len(inflated))
    return inflated


def _escape_non_ascii(value: bytes | str, _: SignatureContext) -> Value:
    try:
        text = as_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return re.sub(r"[^\x00-\x7f]", lambda match: string(match.group(), True)[1:-1], text)


def _hubspot_decode(text: str) -> str:
    return re.sub(r"%[0-9A-Fa-f]{2}", lambda match: _HUBSPOT.get(match.group().upper(), match.group()), text)


def _sorted_query(text: str) -> str:
    bare, separator, query = text.partition("?")
    return f"{bare}?{'&'.join(sorted(query.split('&')))}" if separator else text


def _with_port(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return text
    if port is not None or not parts.netloc:
        return text
    return parts._replace(netloc=f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}").geturl()


def _within(argument: str) -> Transform:
    before, star, after = argument.partition("*")
    if not star:
        raise ValueError(f"within:{argument} has no * for what stands between.")
    return lambda value, _: f"{before}{as_text(value)}{after}" if value else ""


def _header_lines(value: bytes | str, context: SignatureContext) -> Value:
    names = [name for name in re.split(r"[,;\s]+", as_text(value).lower()) if name]
    if len(names) > MAX_HEADERS:
        return None
    return ";".join(f"{name}:{context.delivery.headers.get(name, '')}" for name in names)


def _header_values(separator: str) -> Transform:
    def read(value: bytes | str, context: SignatureContext) -> Value:
        names = [name for name in re.split(r"[,;\s]+", as_text(value).lower()) if name]
        if len(names) > MAX_HEADERS:
            return None
        return separator.join(context.delivery.headers.get(name, "") for name in names)

    return read


def _hmac(algorithm: str) -> Transform:
    if algorithm not in HASHES:
        raise ValueError(f"hmac:{algorithm} is none of {', '.join(HASHES)}.")
    return lambda value, context: hmac.digest(context.key, as_bytes(value), algorithm) if context.key else None


def _json_at(path: str) -> Transform:
    steps = parse_path(path)
    return lambda value, _: _json(value, lambda parsed: next((text_of(item) for item in values(parsed, steps)), None))


def _with_secret_at(path: str) -> Transform:
    steps = parse_path(path)

    def replaced(value: bytes | str, context: SignatureContext) -> Value:
        old_text = next(values(context.delivery.json, steps), None)
        body = as_bytes(value)
        # Where the text stands more than once, which of them was the secret when the provider signed is not known.
        if not isinstance(old_text, str) or not old_text or body.count(old_text.encode()) != 1:
            return None
        return body.replace(old_text.encode(), as_bytes(context.secret or ""))

    return replaced


_PLAIN: dict[str, Transform] = {
    **{name: _digest(name) for name in HASHES},
    "hex": lambda value, _: as_bytes(value).hex(),
    "HEX": lambda value, _: as_bytes(value).hex().upper(),
    "base64": lambda value, _: base64.b64encode(as_bytes(value)).decode(),
    "base64url": lambda value, _: base64.urlsafe_b64encode(as_bytes(value)).decode().rstrip("="),
    "from_hex": lambda value, _: DECODERS["hex"](as_text(value)),
    "from_base64": lambda value, _: DECODERS["base64"](as_text(value)),
    "crc32": lambda value, _: str(zlib.crc32(as_bytes(value))),
    "lower": _of_text(str.lower),
    "upper": _of_text(str.upper),
    "strip": _of_text(str.strip),
    "nfkd": _of_text(lambda text: unicodedata.normalize("NFKD", text)),
    "json_string": _of_text(string),
    "sorted_json": lambda value, _: _json(value, lambda parsed: canonical(parsed, sort=True)),
    "compact_json": lambda value, _: _json(value, lambda parsed: canonical(parsed, sort=False)),
    "ascii_json": lambda value, _: _json(value, lambda parsed: canonical(parsed, sort=False, ascii_only=True)),
    "escape_non_ascii": _escape_non_ascii,
    "gunzip": _gunzip,
    "url_decode": _of_text(unquote),
    "url_encode": lambda value, _: quote(as_bytes(value), safe=""),
    "hubspot_decode": _of_text(_hubspot_decode),
    "without_query": _of_text(lambda text: text.partition("?")[0]),
    "sorted_query": _of_text(_sorted_query),
    "with_port": _of_text(_with_port),
    "header_lines": _header_lines,
}
_WITH_ARGUMENT: dict[str, Callable[[str], Transform]] = {
    "within": _within,
    "before": lambda mark: _of_text(lambda text: text.partition(mark)[0]),
    "after": lambda mark: _of_text(lambda text: text.partition(mark)[2]),
    "hmac": _hmac,
    "json": _json_at,
    "header_values": _header_values,
    "with_secret_at": _with_secret_at,
}
