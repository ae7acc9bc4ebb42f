"""A delivery as it came in, before anything in it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError
from shared.webhooks.work_budget import WorkBudget

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
    config: Mapping[str, Any] = field(default_factory=dict)
    raw_query: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    protected: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def work(self) -> WorkBudget:
        """What may still be done to read it."""
        around = (*self.headers.values(), *self.query.values(), self.raw_query)
        return WorkBudget(len(self.body) + sum(map(len, around)))

    @cached_property
    def json(self) -> Any:
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
