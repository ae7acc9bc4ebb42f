"""A delivery as it was received, before anything in it is trusted, and the answer to it.

`WorkBudget` bounds the work that may be spent on it; in a `SignatureContext` the templates of its scheme are rendered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple, Protocol

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError
from shared.json_types import JsonMapping, JsonObject


class WorkBudget:
    """The work that may still be done for one request. Once it is spent, every field reads as missing."""

    __slots__ = ("_is_inflated", "_left", "_light")

    def __init__(self, sent_bytes: int) -> None:
        """`sent_bytes` is how large the request is."""
        self._left = LEAST_BYTES + TIMES_SENT * sent_bytes
        self._is_inflated = False
        self._light = self._left * 7 // 8

    def spend(self, size: int) -> bool:
        """Spends a step over `size` bytes. Whether there was enough left for it."""
        if self._left >= 0:
            self._left -= size + STEP_BYTES
        return self._left >= 0

    def inflated(self, size: int) -> None:
        """Adds to the budget for a body that has been inflated to `size` bytes; only once, because it may be inflated
        again for each secret."""
        if not self._is_inflated:
            self._left += TIMES_INFLATED * size
            self._is_inflated = True

    @property
    def is_light(self) -> bool:
        """Whether so little was spent that the same may be done a dozen times more."""
        return self._left >= self._light

    @property
    def is_spent(self) -> bool:
        """Whether something was not read because the budget was spent."""
        return self._left < 0


# What the smallest request may cost: some milliseconds.
LEAST_BYTES = 4_000_000
# Some providers' bodies are serialised again and hashed in several ways, with two secrets during a rotation.
TIMES_SENT = 64
# A body that was sent deflated is inflated and hashed.
TIMES_INFLATED = 4
# What a step costs however little it reads.
STEP_BYTES = 64

MAX_FORM_FIELDS = 1000


@dataclass(frozen=True)
class Delivery:
    """A request to a webhook.

    `headers` are by lower-case name, `body` the bytes as sent, `query` decoded and `raw_query` as sent, `url` the
    webhook's registered public URL without a query (never rebuilt from the Host header, which the sender chooses),
    `config` the webhook's own settings. `claims` and `protected` are what a verified token says in its payload and its
    header: verification fills them in.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    config: JsonMapping = field(default_factory=dict)
    raw_query: str = ""
    claims: JsonObject = field(default_factory=dict)
    protected: JsonObject = field(default_factory=dict)

    @cached_property
    def work(self) -> WorkBudget:
        """How much work may still be spent on reading it."""
        around = (*self.headers.values(), *self.query.values(), self.raw_query)
        return WorkBudget(len(self.body) + sum(map(len, around)))

    @cached_property
    def json(self) -> object:
        """The body's JSON value, or `None` when it is none. Only schemes that sign inside the body parse before they
        verify: parsing can be attacked."""
        try:
            return parse_json(self.body, refuse_unstorable=False)
        except InvalidRequestError:
            return None

    @cached_property
    def form(self) -> tuple[tuple[str, str], ...] | None:
        """The body's form fields in order, decoded; `None` when it is no form. A missing content type may be one."""
        from shared.webhooks.forms import form_fields

        return form_fields(self.headers.get("content-type", ""), self.body, MAX_FORM_FIELDS)

    @property
    def full_url(self) -> str:
        """The registered URL with the query as it was sent."""
        return f"{self.url}?{self.raw_query}" if self.raw_query else self.url


class Renderable(Protocol):
    """A template, as fields see it."""

    def render(self, context: SignatureContext, /) -> bytes | None:
        """The bytes; `None` where something is missing."""


@dataclass(slots=True)
class SignatureContext:
    """What fields read: the delivery, and what is known about it at that point.

    `timestamp` is the text that was sent, `pairs` are the signature's; `secret` and `key` are one of the webhook's,
    where one is at hand; `item` is the item of the delivery that is verified now; `lets` are the scheme's texts.
    """

    delivery: Delivery
    timestamp: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    secret: str | None = None
    key: bytes | None = None
    item: object = None
    lets: Mapping[str, Renderable] = field(default_factory=dict)


class Answer(NamedTuple):
    """A status, headers and a body."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})


def json_answer(status: int, body: JsonObject) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(body, separators=(",", ":")).encode())
