"""The request headers that executing a workflow reads, and the address that answers name."""

import pytest

from shared.errors import InvalidRequestError
from shared.http.base_url import base_url
from shared.http.idempotency_key import idempotency_key
from shared.http.prefer import wait_seconds
from shared.settings import settings


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=5", 5),
        ('Wait = "7"; foo=bar', 7),
        ("wait=600", 25),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=soon", 0),
        ("wait", 0),
        ("return=minimal", 0),
        ("", 0),
        ("wait=\u0661", 0),
    ],
)
def test_prefer_wait_is_read_and_bounded(header: str, seconds: int) -> None:
    """`Prefer` is read as RFC 7240 says: what makes no sense is ignored; no wait is longer than 25 s."""
    assert wait_seconds({"prefer": header}) == seconds


def test_no_prefer_is_no_wait() -> None:
    """Without the header the answer comes at once."""
    assert wait_seconds({}) == 0


@pytest.mark.parametrize(("header", "key"), [("abc", "abc"), (' "abc" ', "abc"), ('"', '"'), ("a,b", "a,b")])
def test_idempotency_key_may_be_quoted(header: str, key: str) -> None:
    """The draft standard writes the key in quotes, most clients do not: both mean the same."""
    assert idempotency_key({"idempotency-key": header}) == key


@pytest.mark.parametrize("header", ["", "  ", '""', "x" * 256])
def test_idempotency_key_of_another_length_is_refused(header: str) -> None:
    """An empty key would make all requests one; an endless one is a mistake."""
    with pytest.raises(InvalidRequestError):
        idempotency_key({"idempotency-key": header})


def test_idempotency_key_may_be_left_out() -> None:
    """Without the header every request is its own."""
    assert idempotency_key({}) is None


@pytest.mark.parametrize(
    ("public_url", "url"), [("https://hooks.example/", "https://hooks.example"), ("", "https://api.example")]
)
def test_base_url_is_the_configured_one_or_the_gateways(
    monkeypatch: pytest.MonkeyPatch, public_url: str, url: str
) -> None:
    """PUBLIC_URL wins; without it, the domain by which API Gateway was reached; never the Host header alone."""
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_KEY", "unused")
    monkeypatch.setenv("PUBLIC_URL", public_url)
    settings.cache_clear()
    event = {
        "headers": {"host": "evil.example", "x-forwarded-proto": "https"},
        "requestContext": {"domainName": "api.example"},
    }
    assert base_url(event) == url
    settings.cache_clear()
