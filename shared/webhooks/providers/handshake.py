"""Handshakes: what a provider asks before it delivers, answered as it wants and without a run.

[[handshake]]
about = "A challenge, echoed"      for people
method = "GET"                     of the request: GET, HEAD, POST, OPTIONS
when = { "query:challenge" = "" }  what must stand where for this handshake to be meant: a template's text; an empty
                                   text: anything
unless = ["json:event"]            what must not be there
only = ["challenge"]               the body is a JSON object of exactly these members
equal = { "query:verify_token" = "{config:verify_token}" }   what must be right, or the answer is `refused`
refused = 403
signed = false                     whether it must verify like a delivery
pattern = { "query:crc_token" = "[A-Za-z0-9-]+" }   the form that these must have in full; in files alone
shape = { "query:crc_token" = { class = "base64url", length = 43 } }   by name: see shared/webhooks/providers/shapes.py
let = { text = "{query:code}{config:token}" }       for {let:text}
stores = "header:X-Hook-Secret"    becomes the webhook's secret, while it has none
fetch = "{json:SubscribeURL}"      is asked for (of `fetch_hosts` or `fetch_host_pattern`) before the answer
status, content_type, headers, body, json           the answer: see shared/webhooks/providers/provider_reply.py

An unsigned handshake whose answer is signed with the webhook's key would sign an event for anybody. So what it signs
has a `pattern` or `shape` that no event fits, and a delivery whose body fits that pattern is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from shared.json_types import JsonMapping
from shared.webhooks.delivery import Answer, Delivery, SignatureContext
from shared.webhooks.providers.provider_reply import KEYS, Reply, parse_reply, templates
from shared.webhooks.providers.shapes import Shape, parse_shape
from shared.webhooks.signatures.comparison import matches
from shared.webhooks.signatures.encodings import as_text
from shared.webhooks.signatures.fetch import compiled_pattern, is_at
from shared.webhooks.signatures.fields import Field, parse_source
from shared.webhooks.signatures.json_path import parse_path, values
from shared.webhooks.signatures.template import Template, parse_lets, parse_template
from shared.webhooks.toml_reader import TomlTable

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
# The largest body that is parsed for an unsigned handshake: deliveries are not parsed before they verify.
MAX_UNSIGNED_BYTES = 16_384
CHALLENGE = Shape("challenge", 1, 512)
# Our patterns take linear time, but the text is an untrusted sender's.
MAX_MATCHED_CHARACTERS = 2000
NO_PATTERNS = "handshake.pattern is not taken: it would be held against what anybody sends. Write handshake.shape."


class Handshake(NamedTuple):
    """One question of a provider, and its answer. `unusable` says why it is not answered."""

    method: str
    when: tuple[tuple[Field, Template | str | None], ...]
    unless: tuple[Field, ...]
    only: frozenset[str] | None
    equal: tuple[tuple[Field, Template], ...]
    refused: int
    signed: bool
    pattern: tuple[tuple[Field, re.Pattern[str]], ...]
    shape: tuple[tuple[Field, Shape], ...]
    lets: Mapping[str, Template]
    stores: Field | None
    fetch: Template | None
    fetch_hosts: frozenset[str]
    fetch_host_pattern: re.Pattern[str] | None
    reply: Reply
    signs: bool
    unusable: str | None


class HandshakeAnswer(NamedTuple):
    """The answer to a handshake, for when `stores` has become the webhook's secret and the URL `fetch` was fetched."""

    answer: Answer
    stores: str | None = None
    fetch: str | None = None
    accepted: bool = True


def parse_handshake(data: JsonMapping, *, user_defined: bool = False) -> Handshake:
    """The handshake in a provider's data; `ValueError` where it is outside the grammar. One of a user-defined scheme
    that has a pattern, as could be saved once, is unusable."""
    table = TomlTable("handshake", data)
    lets = parse_lets(table.texts_of("let"))
    reply = parse_reply({name: data[name] for name in KEYS if name in data}, "handshake")
    patterns = {} if user_defined else table.texts_of("pattern")
    host_pattern = "" if user_defined else table.text("fetch_host_pattern", "")
    handshake = Handshake(
        method=table.one_of("method", METHODS),
        when=tuple((parse_source(at), _wanted(text) if text else None) for at, text in table.texts_of("when").items()),
        unless=tuple(parse_source(at) for at in table.texts("unless")),
        only=frozenset(table.texts("only")) if "only" in data else None,
        equal=tuple((parse_source(at), parse_template(text)) for at, text in table.texts_of("equal").items()),
        refused=table.whole("refused", 403, 400, 499),
        signed=table.truth("signed", True),
        pattern=tuple((parse_source(at), compiled_pattern("handshake.pattern", text)) for at, text in patterns.items()),
        shape=tuple((parse_source(at), parse_shape(shape)) for at, shape in table.table("shape").items()),
        lets=lets,
        stores=parse_source(data["stores"]) if "stores" in data else None,
        fetch=parse_template(table.text("fetch")) if "fetch" in data else None,
        fetch_hosts=frozenset(table.texts("fetch_hosts")),
        fetch_host_pattern=compiled_pattern("handshake.fetch_host_pattern", host_pattern) if host_pattern else None,
        reply=reply,
        signs=any(
            "|hmac:" in part.text for template in (*templates(reply), *lets.values()) for part in _fields_of(template)
        ),
        unusable=NO_PATTERNS if user_defined and "pattern" in data else None,
    )
    table.has_only(
        "about", "method", "when", "unless", "only", "equal", "refused", "signed", "pattern", "shape", "let",
        "stores", "fetch", "fetch_hosts", "fetch_host_pattern", *KEYS,
    )  # fmt: skip
    _check(handshake)
    return handshake


def answer(
    handshakes: Sequence[Handshake],
    delivery: Delivery,
    *,
    verified: bool,
    secret: str | None = None,
    key: bytes | None = None,
) -> HandshakeAnswer | None:
    """The answer to a request that is one of these handshakes, else `None`: of the signed ones when it has `verified`,
    else of the unsigned ones. `secret` and `key` are the webhook's, for answers that are made with them."""
    for handshake in handshakes:
        if handshake.unusable or handshake.signed is not verified or not _may_be_meant(handshake, delivery):
            continue
        context = SignatureContext(delivery, secret=secret, key=key)
        context.lets = handshake.lets
        if _is_meant(handshake, context) and (answered := _answered(handshake, context)):
            return answered
    return None


def unusable(handshakes: Sequence[Handshake], delivery: Delivery, *, verified: bool) -> str | None:
    """Why a request that is a handshake is not answered: its handshake is `unusable`. `None` for any other."""
    for handshake in handshakes:
        if handshake.unusable and (handshake.signed or not verified) and _may_be_meant(handshake, delivery):
            context = SignatureContext(delivery)
            context.lets = handshake.lets
            if _is_meant(handshake, context):
                return handshake.unusable
    return None


def refuses_shape(handshakes: Sequence[Handshake]) -> bool:
    """Whether we sign texts in the form of a challenge for anybody who asks, so that such a body proves nothing."""
    return any(handshake.signs and not handshake.signed for handshake in handshakes)


def is_challenge(body: bytes) -> bool:
    """Whether a body has the form of what an unsigned handshake signs."""
    return len(body) <= CHALLENGE.max_length and body.isascii() and CHALLENGE.fits(body.decode("ascii"))


def _may_be_meant(handshake: Handshake, delivery: Delivery) -> bool:
    is_large = not handshake.signed and len(delivery.body) > MAX_UNSIGNED_BYTES
    return handshake.method == delivery.method and not is_large


def _check(handshake: Handshake) -> None:
    if handshake.method == "POST" and not handshake.signed and not handshake.when and handshake.only is None:
        raise ValueError("An unsigned POST handshake without a condition would answer every delivery.")
    if handshake.signs and not (handshake.signed or handshake.pattern or handshake.shape or handshake.unusable):
        raise ValueError("An unsigned handshake that signs its answer needs a pattern or shape for what it signs.")
    if handshake.fetch and not handshake.signed:
        raise ValueError("An unsigned handshake must not fetch what it names.")
    if handshake.fetch and not (handshake.fetch_hosts or handshake.fetch_host_pattern):
        raise ValueError("handshake.fetch_hosts must name the provider's hosts.")


def _wanted(text: str) -> Template | str:
    """The template, or its bare text where it has no fields, as nearly all: that is compared without rendering."""
    template = parse_template(text)
    return template if _fields_of(template) else text


def _fields_of(template: Template) -> list[Field]:
    return [part for part in template.parts if isinstance(part, Field)]


def _is_meant(handshake: Handshake, context: SignatureContext) -> bool:
    if handshake.only is not None:
        body = context.delivery.json
        if not isinstance(body, dict) or set(body) != handshake.only:
            return False
    for field, wanted in handshake.when:
        if wanted is None:
            if not _is_there(field, context):
                return False
        elif field.as_text(context) != (wanted if isinstance(wanted, str) else as_text(wanted.render(context) or b"")):
            return False
    return not any(_is_there(field, context) for field in handshake.unless)


def _is_there(field: Field, context: SignatureContext) -> bool:
    """Whether the field is there, even as an object or a list, which have no text."""
    kind, _, path = field.text.partition(":")
    if kind != "json":
        return field.as_text(context) is not None
    return any(value is not None for value in values(context.delivery.json, parse_path(path)))


def _answered(handshake: Handshake, context: SignatureContext) -> HandshakeAnswer | None:
    for field, template in handshake.equal:
        text, wanted = field.as_text(context), template.render(context)
        # Compared like a secret: what must be right is often a token that the provider was given. An option that was
        # left empty lets nobody in.
        if not text or not wanted or not matches([wanted], [text.encode("utf-8", "surrogatepass")]):
            return HandshakeAnswer(Answer(handshake.refused, b"", "text/plain"), accepted=False)
    if not all(_has_form(handshake, form, field.as_text(context) or "") for field, form in _forms(handshake)):
        return None
    fetched = handshake.fetch.render(context) if handshake.fetch else None
    url = None if fetched is None else as_text(fetched)
    if handshake.fetch and (url is None or not is_at(url, set(handshake.fetch_hosts), handshake.fetch_host_pattern)):
        return None
    # `None` as well where a field of the answer is missing: then this was another request, and the next handshake is
    # tried.
    replied = handshake.reply.answer(context)
    if replied is None:
        return None
    return HandshakeAnswer(replied, handshake.stores.as_text(context) if handshake.stores else None, url)


def _forms(handshake: Handshake) -> Iterator[tuple[Field, re.Pattern[str] | Shape]]:
    yield from handshake.pattern
    yield from handshake.shape


def _has_form(handshake: Handshake, form: re.Pattern[str] | Shape, text: str) -> bool:
    if handshake.signs and not handshake.signed and not CHALLENGE.fits(text):
        return False
    if isinstance(form, Shape):
        return form.fits(text)
    return len(text) <= MAX_MATCHED_CHARACTERS and form.fullmatch(text) is not None
