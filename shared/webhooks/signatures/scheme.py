"""How a provider proves that a delivery is its own: the `[scheme]` and `[timestamp]` of its file, checked and compiled.

[scheme]
kind = "hmac"             hmac, hash (plain, with {secret} in the content), token (what stands there is the content, by
                          default {secret}), basic (user:password), asymmetric, jwt, none
algorithm = "sha256"      one, never the sender's choice: sha256, sha1, sha384, sha512, md5 of hmac and hash; ed25519,
                          ecdsa-p256-sha256, ecdsa-p256-sha1, rsa-sha256, rsa-sha1, rsa-sha512, rsa-pss-sha256 of
                          asymmetric; HS256, HS384, HS512, RS256, RS384, RS512, ES256, EdDSA of jwt
content = "{ts}.{body}"   what is signed: a template of fields (see shared/webhooks/signatures/fields.py); or a list of
                          templates and of tables {template, equal}, each of which counts where the delivery has all
                          that it names and each place in `equal` has the text of its template
covers_body = false       must be said where the content has no {body}, no {json:…} of it decides anything
items = "json:a[]"        every item there must verify by itself; its fields are {item:…}
key = "{secret}&"         how the key is made of the secret; unset, the secret is the key
key_encoding = "utf8"     how the key's text is bytes: utf8, base64, base64url, hex; of public keys: pem, base64, hex
                          (a list: each is tried)
key_prefix = "whsec_"     taken off the secret first, where it is there (a list: one after another)
detached = true           of jwt: the payload is the body (RFC 7797)
leeway_seconds = 30       of jwt: for exp and nbf, which count wherever they are
requires = ["exp"]        of jwt: claims that must be there

[scheme.signature]
in = "header:X-Signature" where it stands: any field but ts; a list: in each of these that is there
encoding = "base64"       hex, base64, base64url, text (of tokens)
format = "single"         single: one value after `prefix`; list: values parted by `separator`, of which those with
prefix = "v1,"            `prefix` count; pairs: `name=value` parted by `separator`, of which those named `name` count;
separator = " "           json: base64 of a JSON object, of which the member `name` counts. A list: each separates
name = "v1"               a text or a list of names
assign = "="              what parts a pair's name from its value

[scheme.claims]           of jwt: claims that must have the text of a template, or of one in a list
sha256 = "{body|sha256|hex}"

[scheme.let]              texts of templates, for {let:name}

[scheme.fetch]            the public key is fetched, not the secret: see shared/webhooks/signatures/fetched_keys.py
url = "{header:X-Cert-Url}"
hosts = ["api.example.com"]   or host_pattern, path_pattern: regular expressions for all of it
format = "x509"           x509, pem, jwks, json:a.b (a PEM there)
max_age_seconds = 3600

[timestamp]
in = "header:X-Time"      where it stands; or `signature:t`, the pair (or item, by number) of the signature
unit = "s"                s, ms, us, ns, iso8601, http_date; opaque: signed as it is, and never judged
tolerance_seconds = 300   how old it may be
future_seconds = 300      how far in the future; unset, the same
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from shared.json_types import JsonMapping
from shared.webhooks.signatures.encodings import DECODERS
from shared.webhooks.signatures.fetch import Fetch, parse_fetch
from shared.webhooks.signatures.fields import Field, parse_field, parse_source
from shared.webhooks.signatures.template import Template, parse_lets, parse_template
from shared.webhooks.signatures.timestamps import UNITS
from shared.webhooks.toml_reader import TomlTable

DIGESTS = ("sha256", "sha1", "sha384", "sha512", "md5")
SIGNATURES = (
    "ed25519", "ecdsa-p256-sha256", "ecdsa-p256-sha1", "rsa-sha256", "rsa-sha1", "rsa-sha512", "rsa-pss-sha256",
)  # fmt: skip
TOKENS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "EdDSA")
ALGORITHMS: dict[str, tuple[str, ...]] = {
    "hmac": DIGESTS,
    "hash": DIGESTS,
    "token": (),
    "basic": (),
    "asymmetric": SIGNATURES,
    "jwt": TOKENS,
    "none": (),
}
# Each is made and hashed with every key.
MAX_CONTENTS = 8
FORMATS = ("single", "list", "pairs", "json")
SECRET_ENCODINGS = ("utf8", "base64", "base64url", "hex")
PUBLIC_KEY_ENCODINGS = ("pem", "base64", "hex")


class Signature(NamedTuple):
    """Where the signature stands and how it is written. `places` are its places, for people and for signing."""

    places: tuple[str, ...]
    sources: tuple[Field, ...]
    encoding: str
    format: str
    prefix: str
    separators: tuple[str, ...]
    names: tuple[str, ...]
    assign: str

    @property
    def place(self) -> str:
        """The first place."""
        return self.places[0]


class Timestamp(NamedTuple):
    """Where the timestamp stands: `from_signature` when it is a part of the signature."""

    place: str
    source: Field
    from_signature: bool
    unit: str
    tolerance_seconds: int
    future_seconds: int


class Content(NamedTuple):
    """One template of what is signed; it counts where each place of `equal` has its text."""

    template: Template
    equal: tuple[tuple[Field, Template], ...]


class Key(NamedTuple):
    """How the key is made of a secret's text."""

    encodings: tuple[str, ...]
    prefixes: tuple[str, ...]
    template: Template | None


class Scheme(NamedTuple):
    """A compiled scheme; `digest_size` is 0 where signatures have no one size."""

    kind: str
    algorithm: str
    digest_size: int
    contents: tuple[Content, ...]
    key: Key
    signature: Signature | None
    timestamp: Timestamp | None
    items: Field | None
    claims: tuple[tuple[str, tuple[Template, ...]], ...]
    lets: Mapping[str, Template]
    fetch: Fetch | None
    detached: bool
    leeway_seconds: int
    requires: tuple[str, ...]
    covers_body: bool

    @property
    def signs_timestamp(self) -> bool:
        """Whether a changed timestamp breaks the signature."""
        return bool(self.timestamp and self.timestamp.place.startswith(("claim:", "protected:"))) or self.signs("ts")

    @property
    def is_public(self) -> bool:
        """Whether the provider signs with a private key, and the webhook has the public one."""
        return is_public(self.kind, self.algorithm)

    def signs(self, place: str) -> bool:
        """Whether what stands there (`header:…`, `json:…`, `query:…`) is covered by the signature, whichever content
        it is made for."""
        if place.startswith(("claim:", "protected:")):
            return self.kind == "jwt"
        if self.kind == "jwt":
            return self.covers_body and place.startswith(("json:", "form:", "body"))
        if self.kind not in ("hmac", "hash", "asymmetric") or not self.contents:
            return False
        bare = place.partition("|")[0]
        return all(_covers(content, bare) for content in self.contents)


def is_public(kind: str, algorithm: str) -> bool:
    """Whether a scheme of this kind is checked with a public key instead of a shared secret."""
    return kind == "asymmetric" or (kind == "jwt" and not algorithm.startswith("HS"))


def _covers(content: Content, place: str) -> bool:
    fields = {field.lower() for field in content.template.fields}
    fields |= {field.lower() for _, template in content.equal for field in template.fields}
    if place.startswith(("json:", "form:", "body")):
        has_form = any(field.startswith(("form_sorted", "form_php:")) for field in fields)
        return "body" in fields or (place.startswith("form:") and has_form) or place.lower() in fields
    # The URL is signed with its query.
    if place.startswith("query:") and "url" in fields:
        return True
    return place.lower() in fields


def compile_scheme(scheme: JsonMapping, timestamp: JsonMapping | None) -> Scheme:
    """The scheme in a provider's data; data outside the grammar raises `ValueError` that says what to write."""
    table = TomlTable("scheme", scheme)
    kind = table.one_of("kind", tuple(ALGORITHMS))
    algorithm = table.one_of("algorithm", ALGORITHMS[kind]) if ALGORITHMS[kind] else ""
    lets = parse_lets(table.texts_of("let"))
    compiled = Scheme(
        kind=kind,
        algorithm=algorithm,
        digest_size=_digest_size(kind, algorithm),
        contents=_contents(kind, scheme),
        key=Key(
            encodings=_encodings(table, is_public(kind, algorithm), "fetch" in scheme or kind == "none"),
            prefixes=table.texts("key_prefix"),
            template=parse_template(table.text("key")) if "key" in scheme else None,
        ),
        signature=None if kind == "none" else _signature(kind, scheme.get("signature") or {}),
        timestamp=_timestamp(timestamp) if timestamp else None,
        items=parse_field(table.text("items")) if "items" in scheme else None,
        claims=_claims(scheme),
        lets=lets,
        fetch=parse_fetch(scheme["fetch"]) if "fetch" in scheme else None,
        detached=table.truth("detached", False),
        leeway_seconds=table.whole("leeway_seconds", 30, 0, 3600),
        requires=table.texts("requires"),
        covers_body=False,
    )
    table.has_only(
        "kind", "algorithm", "content", "covers_body", "items", "key", "key_encoding", "key_prefix", "signature",
        "claims", "let", "fetch", "detached", "leeway_seconds", "requires",
    )  # fmt: skip
    return _checked(compiled, table.truth("covers_body", True))


def _checked(scheme: Scheme, should_cover: bool) -> Scheme:
    fields = {field for content in scheme.contents for field in content.template.fields}
    if "ts" in fields and scheme.timestamp is None:
        raise ValueError("The content has {ts}, but where the timestamp stands is not said.")
    if scheme.kind == "hash" and "secret" not in fields | _hashed_fields(scheme):
        raise ValueError("The content of a hash has no {secret}: anybody could compute it.")
    covers = _covers_body(scheme)
    if should_cover and not covers:
        raise ValueError("The content has no {body}: anybody could change it. Say covers_body = false where it is so.")
    if scheme.fetch is not None and scheme.kind not in ("asymmetric", "jwt"):
        raise ValueError("scheme.fetch is for public keys.")
    return scheme._replace(covers_body=covers)


def _hashed_fields(scheme: Scheme) -> set[str]:
    fields = {field for content in scheme.contents for field in content.template.fields}
    nested = {name for field in fields if field.startswith("sorted:") for name in field[7:].split(",")}
    # `with_secret_at` puts the secret into the body, so the body's digest depends on it.
    texts = (part.text for content in scheme.contents for part in content.template.parts if isinstance(part, Field))
    return nested | ({"secret"} if any("with_secret_at:" in text for text in texts) else set())


def _covers_body(scheme: Scheme) -> bool:
    if scheme.kind in ("token", "basic", "none"):
        return False
    if scheme.kind == "jwt":
        claimed = {field for _, templates in scheme.claims for template in templates for field in template.fields}
        place = scheme.signature.place if scheme.signature else ""
        return scheme.detached or place.partition("|")[0] == "body" or "body" in claimed
    return all(_covers(content, "body") or _covers(content, "form:") for content in scheme.contents)


def _claims(scheme: JsonMapping) -> tuple[tuple[str, tuple[Template, ...]], ...]:
    table = TomlTable("scheme.claims", scheme.get("claims", {}))
    named = scheme.get("claims", {})
    return tuple((name, tuple(parse_template(text) for text in table.texts(name))) for name in named)


def _digest_size(kind: str, algorithm: str) -> int:
    if kind in ("hmac", "hash"):
        return hashlib.new(algorithm, usedforsecurity=False).digest_size
    return 64 if algorithm == "ed25519" else 0


def _contents(kind: str, scheme: JsonMapping) -> tuple[Content, ...]:
    data = scheme.get("content", "{secret}" if kind in ("token", "basic") else None)
    if kind in ("jwt", "none"):
        return ()
    contents = []
    for item in data if isinstance(data, list) else [data]:
        table = TomlTable("scheme.content", item if isinstance(item, Mapping) else {"template": item})
        equal = tuple((parse_field(at), parse_template(text)) for at, text in table.texts_of("equal").items())
        contents.append(Content(parse_template(table.text("template")), equal))
        table.has_only("template", "equal")
    if not contents or len(contents) > MAX_CONTENTS:
        raise ValueError(f"scheme.content must say what is signed, in {MAX_CONTENTS} ways at most.")
    return tuple(contents)


def _encodings(table: TomlTable, public: bool, optional: bool) -> tuple[str, ...]:
    known = PUBLIC_KEY_ENCODINGS if public else SECRET_ENCODINGS
    encodings = table.texts("key_encoding") or ((known[0],) if optional or not public else ())
    if not encodings or any(encoding not in known for encoding in encodings):
        raise ValueError(f"scheme.key_encoding must be one of {', '.join(known)}, not {', '.join(encodings)!r}.")
    return encodings


def _signature(kind: str, data: JsonMapping) -> Signature:
    table = TomlTable("scheme.signature", data)  # a table it must be, before anything is added to it
    if kind == "basic":
        data = {"in": "header:Authorization", "prefix": "Basic ", "encoding": "base64", **data}
        table = TomlTable("scheme.signature", data)
    places = table.texts("in")
    if not places:
        raise ValueError("scheme.signature.in must be a text.")
    written = (*DECODERS, "text") if kind == "token" else tuple(DECODERS)
    signature = Signature(
        places=places,
        sources=tuple(parse_source(place) for place in places),
        encoding=table.one_of("encoding", written, {"token": "text", "jwt": "base64url"}.get(kind)),
        format=table.one_of("format", FORMATS, "single"),
        prefix=table.text("prefix", ""),
        separators=table.texts("separator") or (",",),
        names=table.texts("name"),
        assign=table.text("assign", "="),
    )
    table.has_only("in", "encoding", "format", "prefix", "separator", "name", "assign")
    if not signature.assign:
        raise ValueError("scheme.signature.assign must not be empty.")
    if signature.format in ("pairs", "json") and not signature.names:
        raise ValueError(f"scheme.signature.name must say which of the {signature.format} is the signature.")
    return signature


def _timestamp(data: JsonMapping) -> Timestamp:
    table = TomlTable("timestamp", data)
    place = table.text("in")
    tolerance = table.whole("tolerance_seconds", 300, 1, 604_800)
    table.has_only("in", "unit", "tolerance_seconds", "future_seconds")
    return Timestamp(
        place=place,
        source=parse_source(place),
        from_signature=place.startswith("signature:"),
        unit=table.one_of("unit", (*UNITS, "opaque")),
        tolerance_seconds=tolerance,
        future_seconds=table.whole("future_seconds", tolerance, 0, 604_800),
    )
