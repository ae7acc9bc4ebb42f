"""Which destinations a secret's allowed hosts mean."""

from __future__ import annotations

import pytest

from shared.domain.secret_hosts import BoundSecret, Destination, host_entry
from shared.nodes.node_kinds import Effect
from shared.nodes.registry import names, node_type

CASES = [
    ("api.example.com", "https://api.example.com/x", True),
    ("api.example.com", "http://API.example.com:80", True),
    ("api.example.com", "https://api.example.com:8443/", False),
    ("api.example.com:8443", "https://api.example.com:8443/", True),
    ("api.example.com:443", "https://api.example.com/", True),
    ("api.example.com:443", "http://api.example.com/", False),
    ("api.example.com", "https://api.example.com.evil.test/", False),
    ("api.example.com", "https://evil.test/api.example.com", False),
    ("api.example.com", "https://api.example.com@evil.test/", False),
    ("api.example.com", "https://xapi.example.com/", False),
    ("api.example.com", "https://api.example.com./", False),
    ("*.example.com", "https://a.example.com/", True),
    ("*.example.com", "https://a.b.example.com/", True),
    ("*.example.com", "https://example.com/", False),
    ("*.example.com", "https://evilexample.com/", False),
    ("*.example.com", "https://.example.com/", False),
    ("*.example.com:8443", "https://a.example.com:8443/", True),
    ("*.example.com:8443", "https://a.example.com/", False),
    ("xn--bcher-kva.example", "https://bücher.example/", True),
    ("[::1]:8080", "http://[::1]:8080/", True),
    ("[::1]", "http://[::1]:8080/", False),
    ("[2001:db8::1]", "https://[2001:DB8::1]/", True),
    ("127.0.0.1", "http://127.0.0.1/", True),
    ("127.0.0.1", "http://2130706433/", False),
    ("*", "http://anything.example:1234/", True),
]


@pytest.mark.parametrize(("entry", "url", "is_allowed"), CASES)
def test_host_is_compared_as_it_is_sent(entry: str, url: str, is_allowed: bool) -> None:
    """As a whole, with the port; nothing before or behind it in the URL counts."""
    type_ = node_type("http_request")
    assert isinstance(type_.kind, Effect)
    try:
        destination = type_.kind.destination(type_.parse({"url": url}))
    except Exception:  # noqa: BLE001  # a URL that is refused is sent nowhere
        assert not is_allowed
        return
    assert BoundSecret("s", (host_entry(entry),)).allows(destination) is is_allowed


def test_each_of_the_hosts_is_allowed() -> None:
    """No list at all means every host; an empty one, none."""
    there = Destination("b.example", 443, True)
    assert BoundSecret("s", ("a.example", "b.example")).allows(there)
    assert BoundSecret("s", None).allows(there)
    assert not BoundSecret("s", ()).allows(there)


def test_effects_on_aws_are_destinations_of_their_own() -> None:
    """By the service's host without a region, which no URL has."""
    kinds = {name: node_type(name).kind for name in names()}
    effects = {name: kind for name, kind in kinds.items() if isinstance(kind, Effect) and name != "http_request"}
    found = {name: str(kind.destination(None)) for name, kind in effects.items()}  # type: ignore[arg-type]
    assert found == {
        "invoke_lambda": "lambda.amazonaws.com",
        "publish_sns": "sns.amazonaws.com",
        "put_event": "events.amazonaws.com",
        "send_email": "email.amazonaws.com",
        "send_sqs_message": "sqs.amazonaws.com",
    }
