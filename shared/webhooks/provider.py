"""A provider as its file in `providers/` describes it, fitted to a webhook's configuration.

Beside the scheme (see `shared/webhooks/scheme.py`) a file has:

    id, title, category, documentation, setup
    [secret]      where = "…"                      where the provider shows it; `generate = false`: it cannot be chosen
    [delivery]    id = "header:X-Delivery"         where the id of a delivery stands
    [event]       type = ["header:X-Event", …]     what is there of these, joined by dots, is the event's type
    [[handshake]] about, method, signed, when, status, content_type, body: answered at once; starts no run
    [options.x]   title, sets = "scheme.algorithm" what a webhook's config may set: the value goes there, through
                  pattern = "header:{}"            `pattern`; `choices` and `required` bound it
    [vectors.good], [vectors.forged]               deliveries that must verify, and must not
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.json_values import pointer_of
from shared.errors import Problem
from shared.webhooks.delivery import Source, parse_source
from shared.webhooks.handshake import Handshake, parse_handshake
from shared.webhooks.scheme import Scheme, compile_scheme


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's rules for one configuration; `delivery_id_signed` says whether the id may be believed."""

    id: str
    scheme: Scheme
    delivery_id: Source | None
    delivery_id_signed: bool
    event_type: tuple[Source, ...]
    handshakes: tuple[Handshake, ...]


def fit(data: Mapping[str, Any], config: Mapping[str, Any]) -> Provider:
    """The provider of a file's data with a webhook's configuration set into it; `ValueError` where they do not fit."""
    fitted = copy.deepcopy(dict(data))
    for name, option in data.get("options", {}).items():
        if name in config:
            _set(fitted, option, config[name])
    id_place = fitted.get("delivery", {}).get("id")
    scheme = compile_scheme(fitted["scheme"], fitted.get("timestamp"))
    return Provider(
        id=fitted["id"],
        scheme=scheme,
        delivery_id=parse_source(id_place) if id_place else None,
        delivery_id_signed=bool(id_place) and scheme.signs(id_place),
        event_type=tuple(parse_source(place) for place in fitted.get("event", {}).get("type", ())),
        handshakes=tuple(parse_handshake(each) for each in fitted.get("handshake", ())),
    )


def config_problems(data: Mapping[str, Any], config: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a webhook's configuration, with pointers into it."""
    options = data.get("options", {})
    problems = [
        Problem(pointer_of(name), f"{data['title']} has no option {name!r}.", _known(options))
        for name in config
        if name not in options
    ]
    for name, option in options.items():
        problems += _option_problems(name, option, config)
    if not problems:
        try:
            fit(data, config)
        except ValueError as error:
            problems.append(Problem("", str(error)))
    return problems


def _option_problems(name: str, option: Mapping[str, Any], config: Mapping[str, Any]) -> list[Problem]:
    if name not in config:
        return [Problem(pointer_of(name), f"{option['title']} must be given.")] if option.get("required") else []
    value, choices = config[name], option.get("choices")
    if choices and value not in choices:
        return [Problem(pointer_of(name), f"Write one of {', '.join(map(str, choices))}.")]
    kind: type = int if option.get("type") == "integer" else str
    if not isinstance(value, kind) or isinstance(value, bool) or value == "":
        return [Problem(pointer_of(name), "Write a whole number." if kind is int else "Write a text.")]
    if isinstance(value, str) and len(value) > 200:
        return [Problem(pointer_of(name), "Write at most 200 characters.")]
    return []


def _set(fitted: dict[str, Any], option: Mapping[str, Any], value: object) -> None:
    *path, last = option["sets"].split(".")
    table = fitted
    for name in path:
        table = table.setdefault(name, {})
    if "pattern" in option:
        value = option["pattern"].replace("{}", str(value))
    table[last] = [value] if option.get("list") else value


def _known(options: Sequence[str] | Mapping[str, Any]) -> str:
    return f"It has {', '.join(sorted(options))}." if options else "It has none."
