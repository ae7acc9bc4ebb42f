"""Validates a webhook's configuration: the provider's options, and a scheme of the tenant's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from shared.domain.json.values import pointer_of
from shared.domain.name_suggestion import nearest_name
from shared.domain.webhook.config import LIVE, tenant_config
from shared.errors import MAX_PROBLEMS, Problem
from shared.json_types import JsonMapping
from shared.webhooks.acceptance import OPTIONS, option_problems
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.handshake import parse_handshake
from shared.webhooks.providers.provider import fit, fitted_data


def config_problems(data: JsonMapping, config: JsonMapping) -> list[Problem]:
    """What is wrong with a webhook's configuration, with pointers into it."""
    whole_config, options = config, options_of(data)
    config = {name: value for name, value in whole_config.items() if name not in OPTIONS}
    others = islice((name for name in config if name not in options), MAX_PROBLEMS)
    problems = [_unknown(name, data, tuple(options)) for name in others]
    for name, option in options.items():
        problems += _option_problems(name, option, config)
    problems += option_problems(whole_config)
    if problems:
        return problems
    if data.get("user_defined"):
        return _user_defined_problems(data, config)
    try:
        fit(data, config)
        # Asked of the fitted data: one variant may sign, and another not.
        needs_consent = fitted_data(data, config)["scheme"]["kind"] == "none"
    except ValueError as error:
        return [Problem("", str(error))]
    if needs_consent and config.get("accept_unverified") is not True:
        return [
            Problem(
                "/accept_unverified",
                f"{data['title']} does not sign, so anybody who learns the URL can start runs.",
                "Set it to true if that is what you want; it is shown with the webhook and in the audit feed.",
            )
        ]
    return []


def stored_problems(provider_id: str, config: JsonMapping) -> list[Problem]:
    """What is wrong with a saved configuration, which may have been valid under older rules."""
    data = provider_data(provider_id)
    if data is None:
        return [Problem("", f"There is no provider {provider_id!r} any more.")]
    return config_problems(data, tenant_config(config))


def _user_defined_problems(data: JsonMapping, config: JsonMapping) -> list[Problem]:
    """What is wrong with a scheme of the tenant's own: of each handshake the first, else the first of all."""
    try:
        fitted = fitted_data(data, config)
    except ValueError as error:
        return [Problem(_table_of(error), str(error))]
    problems = []
    for place, table in enumerate(fitted.get("handshake", ())):
        try:
            unusable = parse_handshake(table, user_defined=True).unusable
        except ValueError as error:
            problems.append(Problem(pointer_of("handshake", place), str(error)))
        else:
            if unusable:
                problems.append(Problem(pointer_of("handshake", place, "pattern"), unusable))
    if problems:
        return problems
    try:
        fit(data, config)
    except ValueError as error:
        return [Problem(_table_of(error), str(error))]
    return []


def _table_of(error: ValueError) -> str:
    """A pointer to the table that an error names first; to the scheme where it names none."""
    from shared.webhooks.providers.custom import TABLES  # most schemes are providers'

    named = re.match(r"(?:config\.)?([a-z]+)\b", str(error))
    return pointer_of(named[1] if named and named[1] in TABLES else "scheme")


def options_of(data: JsonMapping) -> dict[str, JsonMapping]:
    """The options by name: the provider's own, and those that follow from its scheme."""
    options: dict[str, JsonMapping] = dict(data.get("options", {}))
    if data.get("user_defined"):
        from shared.webhooks.providers.custom import TABLES

        return {name: {"title": f"The table {name}", "type": "table"} for name in ("scheme", *TABLES)}
    if "timestamp" in data:
        options.setdefault(
            "tolerance_seconds",
            {"title": "How old a timestamp may be", "sets": "timestamp.tolerance_seconds", "type": "integer"},
        )
    if "variants" in data:
        options["variant"] = {"title": "How the provider signs", "choices": list(data["variants"])}
    schemes = [
        data["scheme"],
        *(variant["scheme"] for variant in data.get("variants", {}).values() if "scheme" in variant),
    ]
    if any(scheme["kind"] == "none" for scheme in schemes):
        options["accept_unverified"] = {"title": "Take deliveries that nothing proves", "type": "boolean"}
    return options


def _option_problems(name: str, option: JsonMapping, config: JsonMapping) -> list[Problem]:
    if name not in config:
        suggestion = option.get("where")
        return (
            [Problem(pointer_of(name), f"{option['title']} must be given.", suggestion)]
            if option.get("required")
            else []
        )
    value, choices = config[name], option.get("choices")
    if choices and value not in choices:
        return [Problem(pointer_of(name), f"Write one of {', '.join(map(str, choices))}.")]
    wanted = option.get("type", "text")
    if wanted == "boolean":
        return [] if isinstance(value, bool) else [Problem(pointer_of(name), "Write true or false.")]
    if wanted == "table":
        return [] if isinstance(value, (dict, list)) else [Problem(pointer_of(name), "Write a table.")]
    kind: type = int if wanted == "integer" else str
    if not isinstance(value, kind) or isinstance(value, bool) or value == "":
        return [Problem(pointer_of(name), "Write a whole number." if kind is int else "Write a text.")]
    most = option.get("max_characters", 200)
    if isinstance(value, str) and len(value) > most:
        return [Problem(pointer_of(name), f"Write at most {most} characters.")]
    return []


def _unknown(name: str, data: JsonMapping, options: Sequence[str]) -> Problem:
    if name == LIVE and data.get("user_defined"):
        return Problem(pointer_of(name), "A webhook is live once a delivery has verified.", "Leave it out.")
    return Problem(pointer_of(name), f"{data['title']} has no option {name[:100]!r}.", _known(name, options))


def _known(name: str, options: Sequence[str]) -> str:
    nearest = nearest_name(name, (*options, *OPTIONS))
    if nearest is not None:
        return f"Did you mean {nearest}?"
    own = f"It has {', '.join(sorted(options))}, and" if options else "It has"
    return f"{own} what every webhook has: {', '.join(OPTIONS)}."
