"""The hosts that a secret may be sent to: how they are written, and which destinations they allow.

`api.example.com` allows this host at the scheme's own port, `api.example.com:8443` at that port alone;
`*.example.com` allows every host below `example.com`, at any depth, and not `example.com` itself; `*` allows every
host. An IPv6 address stands in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

EVERY_HOST = "*"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = rf"\*\.{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\]"
_ENTRY = re.compile(rf"(?:{_HOST})(?::[1-9][0-9]{{0,4}})?|\*", re.ASCII)


class Destination(NamedTuple):
    """Where a request goes: the host in lower case, an IPv6 address without brackets, and the port; `is_usual` says
    that the port is the scheme's own."""

    host: str
    port: int
    is_usual: bool

    def __str__(self) -> str:
        """As in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.is_usual else f"{host}:{self.port}"


class BoundSecret(NamedTuple):
    """A secret's value, and the hosts that it may be sent to; `None` where it was set before there were bindings."""

    value: str
    allowed_hosts: tuple[str, ...] | None

    def allows(self, destination: Destination) -> bool:
        """Whether the secret may be sent there."""
        hosts = self.allowed_hosts
        return hosts is None or any(_allows(entry, destination) for entry in hosts)


def is_bound(allowed_hosts: Sequence[str] | None) -> bool:
    """Whether a secret with this list may be sent to some hosts only."""
    return allowed_hosts is not None and EVERY_HOST not in allowed_hosts


def host_entry(text: str) -> str:
    """The entry in lower case; one that is malformed raises `ValueError`."""
    entry = text.lower()
    port = entry.rpartition("]")[2].partition(":")[2]
    if len(entry) > 260 or not _ENTRY.fullmatch(entry) or int(port or 0) > 65_535:
        raise ValueError(
            "a host is written as api.example.com, with a port if it is not the usual one (api.example.com:8443); "
            "*.example.com is every host below example.com, and * every host. No scheme, no path, and names with other "
            "letters than a to z in their ASCII form (xn--…)"
        )
    return entry


def _allows(entry: str, destination: Destination) -> bool:
    if entry == EVERY_HOST:
        return True
    name, bracket, rest = entry.partition("]")
    if bracket:
        host, port = name.removeprefix("["), rest.removeprefix(":")
    else:
        host, _, port = entry.partition(":")
    if not (destination.is_usual if not port else int(port) == destination.port):
        return False
    if host.startswith("*."):
        return destination.host.endswith(host[1:]) and len(destination.host) >= len(host)
    return destination.host == host
