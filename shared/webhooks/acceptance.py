"""Which senders and events a webhook accepts, and what it answers: the options of every provider's webhooks.

event_types = ["push", "pull_request.*"]   others are answered with 200 and start nothing
ip_allow = ["192.0.2.0/24"]                 other addresses are refused before anything else is looked at
response = {status, headers, body}          what an accepted delivery is answered; "wait": what its run responds
rate_limit = {per_minute, burst}            more is answered with 429
url = "https://…"                           the URL as the provider knows it, where a proxy stands in between
keep_raw_body = true                        the bytes of accepted deliveries are kept beside what their runs see of them
durability = "stored"                       answered when Supabase has it too; "queued", as without it: when Redis does
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from shared.domain.json.values import pointer_of
from shared.domain.response import FORBIDDEN_HEADERS, is_powerful
from shared.domain.webhook.intake_config import STORED, WAIT
from shared.errors import Problem
from shared.json_types import JsonMapping

OPTIONS = ("durability", "event_types", "filter", "ip_allow", "keep_raw_body", "response", "rate_limit", "url")
MAX_ENTRIES = 100
# The filter is evaluated for every delivery.
MAX_FILTER_CHARACTERS = 8_000
_URL = re.compile(r"https?://[^\s?#]{1,500}")


def takes_address(config: JsonMapping, address: str) -> bool:
    """Whether the sender's address is one of those that are allowed; all are where none is named."""
    allowed = config.get("ip_allow")
    if not allowed:
        return True
    try:
        sender = ipaddress.ip_address(address)
    except ValueError:
        return False
    # An IPv4 address may come in IPv6's form, `::ffff:192.0.2.1`; networks are written in the other.
    mapped = getattr(sender, "ipv4_mapped", None)
    return any((mapped or sender) in network for network in _networks(tuple(allowed)))


def takes_event(config: JsonMapping, event_type: str | None) -> bool:
    """Whether the event is one of those that are asked for; all are where none is named."""
    wanted = config.get("event_types")
    if not wanted:
        return True
    from shared.domain.glob import fits  # most webhooks ask for all

    return any(fits(event_type or "", pattern) for pattern in wanted)


def option_problems(config: JsonMapping) -> list[Problem]:
    """What is wrong with these options, with pointers into the configuration."""
    problems = [
        Problem(pointer_of(name), "Write a list of texts.")
        for name in ("event_types", "ip_allow")
        if name in config and not _is_list_of_texts(config[name])
    ]
    if problems:
        return problems
    try:
        _networks(tuple(config.get("ip_allow", ())))
    except ValueError as error:
        problems.append(Problem("/ip_allow", f"{error}.", "Write addresses or networks like 192.0.2.0/24."))
    if "url" in config and not (isinstance(config["url"], str) and _URL.fullmatch(config["url"])):
        problems.append(Problem("/url", "Write the URL without a query, as it is registered with the provider."))
    if config.get("durability", "queued") not in ("queued", STORED):
        problems.append(Problem("/durability", 'Write "queued" or "stored".'))
    if not isinstance(config.get("keep_raw_body", False), bool):
        problems.append(Problem("/keep_raw_body", "Write true or false."))
    return (
        problems
        + _filter_problems(config.get("filter"))
        + _response_problems(config.get("response"))
        + _rate_problems(config.get("rate_limit"))
    )


def _response_problems(response: object) -> list[Problem]:
    if response is None or response == WAIT:
        return []
    if not isinstance(response, dict) or set(response) - {"status", "headers", "body"}:
        return [Problem("/response", 'Write an object of status, headers and body, or "wait".')]
    status, headers, body = response.get("status", 200), response.get("headers", {}), response.get("body", "")
    problems = []
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 299:
        problems.append(Problem("/response/status", "Write a number from 200 to 299: others make providers try again."))
    if not isinstance(body, str) or len(body) > 4096:
        problems.append(Problem("/response/body", "Write a text of at most 4096 characters."))
    if (
        not isinstance(headers, dict)
        or len(headers) > MAX_ENTRIES
        or any(
            not re.fullmatch("[A-Za-z0-9-]{1,100}", name)
            or (name.lower() in FORBIDDEN_HEADERS and name.lower() != "content-type")
            or is_powerful(name)
            or not isinstance(value, str)
            or len(value) > 1000
            or not value.isascii()
            or not value.isprintable()
            for name, value in headers.items()
        )
    ):
        problems.append(
            Problem(
                "/response/headers",
                "Write headers as texts; those of the connection and those with power over browsers are not yours.",
            )
        )
    return problems


def _filter_problems(text: object) -> list[Problem]:
    if text is None:
        return []
    from shared.domain.expressions.expressions import ExpressionError, compile_expression, context_problems

    if isinstance(text, str) and len(text) > MAX_FILTER_CHARACTERS:
        return [Problem("/filter", f"A filter may have {MAX_FILTER_CHARACTERS} characters.")]
    whole = re.fullmatch(r"\s*\{%(.*)%\}\s*", text, re.DOTALL) if isinstance(text, str) else None
    if whole is None:
        return [Problem("/filter", "Write one expression.", "For example {% $trigger.body.action = 'opened' %}.")]
    try:
        compiled = compile_expression(whole.group(1))
    except ExpressionError as error:
        return [Problem("/filter", error.message)]
    unknown = sorted({*compiled.reads} - {"trigger"} | {*compiled.others})
    if unknown:
        return [Problem("/filter", f"A filter has no ${unknown[0]}; it has $trigger.")]
    return [
        Problem("/filter", message, "Start with $trigger, for example $trigger.body.action.")
        for message, _ in context_problems(compiled)
    ]


def _rate_problems(limit: object) -> list[Problem]:
    if limit is None:
        return []
    values = [limit.get("per_minute"), limit.get("burst", 1)] if isinstance(limit, dict) else [None]
    known = isinstance(limit, dict) and not set(limit) - {"per_minute", "burst"}
    if known and all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 1_000_000 for n in values):
        return []
    return [Problem("/rate_limit", "Write {per_minute, burst?}, whole numbers from 1 to 1000000.")]


def _is_list_of_texts(value: object) -> bool:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        return False
    return all(isinstance(text, str) and 0 < len(text) <= 200 for text in value)


@lru_cache(maxsize=256)
def _networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
