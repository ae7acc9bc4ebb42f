"""Which addresses workflows may reach."""

from __future__ import annotations

import socket

import httpcore
import pytest

from shared.nodes.dns_resolver import Resolver
from shared.nodes.guarded_transport import GuardedBackend, OutboundRefusedError
from shared.nodes.outbound import allowed_of
from shared.nodes.public_addresses import is_public


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.0.0.8"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::1"),
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    """Private, loopback, link-local, metadata, multicast, reserved and documentation ranges, however wrapped."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # AWS, GCP and Azure; ECS; AWS and GCP by IPv6; Alibaba; Oracle; Azure's own server beside the machine.
        *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192"),
        "168.63.129.16",
        # Mapped, compatible, translated (SIIT), NAT64 of both kinds, 6to4, Teredo: the IPv4 address inside counts.
        *("::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254"),
        *("64:ff9b:1::169.254.169.254", "2002:a9fe:a9fe::", "2001:0:101:101:0:0:5601:5601"),
        # What was once private in IPv6 and some networks still use.
        *("fec0::1", "feff::1"),
    ],
)
def test_metadata_addresses_are_not_public(address: str) -> None:
    """Where clouds hand out a machine's credentials, in every form of an address that the resolver may answer."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1", "0177.0.0.01", "127.1", "127.65793", "127.0.0.1."),
        *("::ffff:7f00:1", "0:0:0:0:0:ffff:127.0.0.1", "[::ffff:127.0.0.1]", "::ffff:127.0.0.1%lo", "0.0.0.0", "::"),
        *(
            "\uff11\uff12\uff17.0.0.1",
            "127\u30020\u30020\u30021",
            "\u2460\u2461\u2466.0.0.1",
            "127.0.0.1\x00.example.com",
        ),
    ],
)
async def test_no_spelling_reaches_a_server_that_listens(host: str) -> None:
    """Decimal, octal, hexadecimal, short, mapped, with other digits and dots of Unicode: a server that would answer is
    not reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises((OutboundRefusedError, httpcore.ConnectError)):
            await GuardedBackend(Resolver(), "tenant").connect_tcp(host, server.getsockname()[1], timeout=2)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are(address: str) -> None:
    """The internet."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "::1", "0"])
async def test_local_host_is_refused_by_whatever_name(host: str) -> None:
    """The address is judged after resolution, so spelling it differently changes nothing."""
    with pytest.raises((OutboundRefusedError, httpcore.ConnectError)) as error:
        await GuardedBackend(Resolver(), "tenant").connect_tcp(host, 9, timeout=2)
    assert not isinstance(error.value, httpcore.ConnectError) or host in ("::1", "0x7f.1")


async def test_socket_file_is_refused() -> None:
    """Not every connection has an address."""
    with pytest.raises(OutboundRefusedError):
        await GuardedBackend(Resolver(), "tenant").connect_unix_socket("/var/run/docker.sock")


def test_allow_list_is_one_tenants_alone() -> None:
    """An entry opens a host to the tenant that it names."""
    entries = ("t1=127.0.0.1:80", "t2=10.0.0.1", "broken", "t1=LocalHost")
    assert allowed_of("t1", entries) == {"127.0.0.1:80", "localhost"}
    assert allowed_of("t3", entries) == frozenset()
