"""Where a provider's public key is fetched from: `[scheme.fetch]`, and whether a URL is one of the provider's.

Nothing is fetched from where a delivery says, unless its host is in the file: an attacker would name his own.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from shared.json_types import JsonMapping
from shared.webhooks.delivery import SignatureContext
from shared.webhooks.signatures.encodings import as_text
from shared.webhooks.signatures.template import Template, parse_template
from shared.webhooks.toml_reader import TomlTable

MAX_URL_CHARACTERS = 2000
FORMATS = ("x509", "pem", "jwks")


class Fetch(NamedTuple):
    """Where a key is fetched from. `hosts` are templates, so that a host may come from the webhook's configuration."""

    url: Template
    hosts: tuple[Template, ...]
    host_pattern: re.Pattern[str] | None
    path_pattern: re.Pattern[str] | None
    format: str
    max_age_seconds: int

    def url_for(self, context: SignatureContext) -> str | None:
        """The URL for this delivery; `None` where it is missing or not on one of the provider's hosts."""
        rendered = self.url.render(context)
        if rendered is None:
            return None
        url = as_text(rendered)
        hosts = {as_text(host).lower() for template in self.hosts if (host := template.render(context))}
        return url if is_at(url, hosts, self.host_pattern, self.path_pattern) else None


def parse_fetch(data: JsonMapping) -> Fetch:
    """The place in a provider's data; `ValueError` outside the grammar."""
    table = TomlTable("scheme.fetch", data)
    format_ = table.text("format")
    if format_ not in FORMATS and not format_.startswith("json:"):
        raise ValueError(f"scheme.fetch.format must be one of {', '.join(FORMATS)} or json:…, not {format_!r}.")
    fetch = Fetch(
        url=parse_template(table.text("url")),
        hosts=tuple(parse_template(host) for host in table.texts("hosts")),
        host_pattern=_pattern(table, "host_pattern"),
        path_pattern=_pattern(table, "path_pattern"),
        format=format_,
        max_age_seconds=table.whole("max_age_seconds", 3600, 60, 86_400),
    )
    table.has_only("url", "hosts", "host_pattern", "path_pattern", "format", "max_age_seconds")
    if not fetch.hosts and fetch.host_pattern is None:
        raise ValueError("scheme.fetch.hosts must name the provider's hosts.")
    return fetch


def is_at(
    url: str, hosts: set[str], host_pattern: re.Pattern[str] | None, path_pattern: re.Pattern[str] | None = None
) -> bool:
    """Whether the URL is https on one of the hosts, at its usual port, without credentials."""
    # URL parsers differ over these characters: the one that connects might see another host than this one.
    if len(url) > MAX_URL_CHARACTERS or re.search(r"[\s\\\x00-\x1f]", url):
        return False
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or port not in (None, 443) or "@" in parts.netloc:
        return False
    if host not in hosts and not (host_pattern and host_pattern.fullmatch(host)):
        return False
    return path_pattern is None or bool(path_pattern.fullmatch(parts.path))


def _pattern(table: TomlTable, key: str) -> re.Pattern[str] | None:
    text = table.text(key, "")
    return compiled_pattern(f"scheme.fetch.{key}", text) if text else None


def compiled_pattern(name: str, text: str) -> re.Pattern[str]:
    """The regular expression in a provider's file; `ValueError` where it is invalid. Tenants cannot write any: they are
    matched against untrusted texts."""
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{name} is no regular expression: {error}.") from None
