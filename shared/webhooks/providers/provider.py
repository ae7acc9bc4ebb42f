"""A provider as its file in `providers/data/` describes it, fitted to a webhook's configuration.

Beside the scheme (see `shared/webhooks/signatures/scheme.py`) a file has:

    id, title, category, documentation, setup
    verified = false, warning = "…"                of facts that nobody could check again, and of weak schemes
    [secret]      where = "…"                      where the provider shows it; `given = true`: it cannot be chosen
                  pattern = "…", form = "…"        what a right one looks like, and that in words
    [delivery]    id = "header:X-Delivery"         where the id of a delivery stands; a list: all of these together
    [event]       type = ["header:X-Event", …]     what is there of these, joined by dots, is the event's type
    [[handshake]] answered at once; starts no run: see `shared/webhooks/providers/handshake.py`
    [answer]      status, content_type, body, headers: what an accepted delivery is answered, where 202 is not right
    [options.x]   title, sets = "scheme.algorithm" what a webhook's config may set: the value goes there, through
                  pattern = "header:{}"            `pattern`, and with it `also` what this table says; `choices` and
                  also = { "scheme.a" = "" }       `required` bound it; without `sets` it is there for {config:x}
    [variants.x]  scheme, timestamp, delivery, event, handshake in place of those above, for `config.variant = "x"`
    [vectors.good], [vectors.forged]               deliveries that must verify, and must not
"""

from __future__ import annotations

import copy
from typing import NamedTuple

from shared.json_types import JsonMapping, JsonObject
from shared.webhooks.providers.handshake import Handshake, parse_handshake, refuses_shape
from shared.webhooks.providers.provider_reply import Reply, parse_reply
from shared.webhooks.signatures.fields import Field, parse_source
from shared.webhooks.signatures.scheme import Scheme, compile_scheme
from shared.webhooks.toml_reader import TomlTable

REPLACED = ("scheme", "timestamp", "delivery", "event", "handshake", "answer", "secret")


class Provider(NamedTuple):
    """A provider's rules for one configuration. `delivery_id_signed`: the signature covers the delivery's id.
    `refuses_challenges`: a body in the form of a challenge, which we sign for anybody, is no delivery."""

    id: str
    scheme: Scheme
    delivery_id: tuple[Field, ...]
    delivery_id_signed: bool
    event_type: tuple[Field, ...]
    handshakes: tuple[Handshake, ...]
    reply: Reply | None
    refuses_challenges: bool


def fit(data: JsonMapping, config: JsonMapping) -> Provider:
    """The provider of a file's data with a webhook's configuration set into it; `ValueError` where they do not fit."""
    fitted = fitted_data(data, config)
    scheme = compile_scheme(fitted["scheme"], fitted.get("timestamp"))
    id_places = TomlTable("delivery", fitted.get("delivery", {})).texts("id")
    user_defined = bool(data.get("user_defined"))
    handshakes = tuple(parse_handshake(table, user_defined=user_defined) for table in fitted.get("handshake", ()))
    return Provider(
        id=fitted["id"],
        scheme=scheme,
        delivery_id=tuple(parse_source(place) for place in id_places),
        delivery_id_signed=bool(id_places) and all(_signed(scheme, place) for place in id_places),
        event_type=tuple(parse_source(place) for place in TomlTable("event", fitted.get("event", {})).texts("type")),
        handshakes=handshakes,
        reply=parse_reply(fitted["answer"]) if "answer" in fitted else None,
        refuses_challenges=refuses_shape(handshakes),
    )


def fitted_data(data: JsonMapping, config: JsonMapping) -> JsonObject:
    """The file's data with the configuration's variant and options in place; an unknown variant raises `ValueError`."""
    # The file's data are cached for the whole process, and the options are set into them below.
    fitted = copy.deepcopy(dict(data))
    if data.get("user_defined"):
        from shared.webhooks.providers.custom import custom_data

        return copy.deepcopy(custom_data(data, config))
    variant = config.get("variant")
    if variant is not None:
        changed = fitted.get("variants", {}).get(variant) if isinstance(variant, str) else None
        if changed is None:
            raise ValueError(f"{data['title']} has no variant {variant!r}.")
        for name in REPLACED:
            if name in changed:
                fitted[name] = changed[name]
            elif name in ("timestamp", "handshake") and "scheme" in changed:
                # A variant with a scheme of its own does not inherit how the other scheme is dated, or what is asked
                # before it.
                fitted.pop(name, None)
    options = fitted.get("options", {})
    for name, option in options.items():
        if name in config and "sets" in option:
            _set(fitted, option, config[name])
            for place, value in option.get("also", {}).items():
                _set(fitted, {"sets": place}, value)
    if "tolerance_seconds" in config and "tolerance_seconds" not in options and "timestamp" in fitted:
        fitted["timestamp"]["tolerance_seconds"] = config["tolerance_seconds"]
    return fitted


def _signed(scheme: Scheme, place: str) -> bool:
    # Each alternative: the sender chooses which of them is there.
    return all(scheme.signs(alternative.strip().removesuffix("?")) for alternative in place.split(" / "))


def _set(fitted: JsonObject, option: JsonMapping, value: object) -> None:
    *path, last = option["sets"].split(".")
    table = fitted
    for name in path:
        table = table.setdefault(name, {})
    if "pattern" in option:
        value = option["pattern"].replace("{}", str(value))
    table[last] = [value] if option.get("list") else value
