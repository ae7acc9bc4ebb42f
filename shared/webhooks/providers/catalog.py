"""The provider catalog: one TOML file per provider, read when it is first asked for."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path

from shared.json_types import JsonMapping
from shared.webhooks.providers.provider import Provider, fit

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FOLDER = Path(__file__).with_name("data")


@cache
def provider_ids() -> tuple[str, ...]:
    """The ids of all providers, in order."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def provider_data(provider_id: str) -> JsonMapping | None:
    """The provider's file as it is; `None` when there is no such provider."""
    # The id comes from a request's path: an unknown one must neither name another file nor fill the cache.
    return _read(provider_id) if _ID.fullmatch(provider_id) and provider_id in provider_ids() else None


@cache
def _read(provider_id: str) -> JsonMapping:
    return tomllib.loads((_FOLDER / f"{provider_id}.toml").read_text("utf-8"))


def provider(provider_id: str, config: JsonMapping) -> Provider | None:
    """The provider fitted to a webhook's configuration, `None` when there is no such provider; a configuration that
    does not fit raises `ValueError`."""
    # As text, in one order: the cache's keys must be hashable, and equal configurations share one entry.
    return _fitted(provider_id, json.dumps(config, sort_keys=True)) if provider_data(provider_id) is not None else None


@lru_cache(maxsize=256)
def _fitted(provider_id: str, config: str) -> Provider:
    return fit(_read(provider_id), json.loads(config))
