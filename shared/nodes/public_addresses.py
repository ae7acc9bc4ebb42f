"""Which addresses belong to the public internet: workflows may reach no others.

Sources: the IANA special-purpose registries,
https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sister.
"""

from __future__ import annotations

import ipaddress

# Special ranges that `ipaddress`, in older versions of Python, takes for public; the site-local addresses of RFC 3879,
# which no registry has any more; and the server that Azure has beside each machine, at an address of the internet.
_ALSO_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16"),
        *("fec0::/10", "168.63.129.16/32"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(text: str) -> bool:
    """Whether an IP address is public. An IPv4 address embedded in IPv6 (mapped, 6to4, Teredo, NAT64) counts as
    itself."""
    # Behind a percent sign an IPv6 address names its zone.
    address = ipaddress.ip_address(text.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
    if any(address in network for network in _ALSO_SPECIAL):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return ipaddress.IPv4Address(address.packed[-4:]) if address in _NAT64 else None
