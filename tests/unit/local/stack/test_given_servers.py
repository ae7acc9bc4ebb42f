"""Servers that the environment names: by half, or where nobody answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.stack.process import ServerError
from local.stack.stack import LocalStack


@pytest.fixture(autouse=True)
def _shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that has not sourced a local stack's file and names no server."""
    for name in ("LOCAL_STACK", "SUPABASE_URL", "SUPABASE_KEY", "REDIS_HOST", "REDIS_PORT"):
        monkeypatch.delenv(name, raising=False)


def refusal(folder: Path) -> str:
    """Why the stack does not start."""
    with pytest.raises(ServerError) as caught:
        LocalStack(folder).start()
    assert not (folder / "postgres").exists(), "it starts nothing before it refuses"
    return str(caught.value)


@pytest.mark.parametrize(("given", "missing"), [("SUPABASE_URL", "SUPABASE_KEY"), ("SUPABASE_KEY", "SUPABASE_URL")])
def test_half_of_a_supabase_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, missing: str
) -> None:
    """Silently starting an embedded one would look like success."""
    monkeypatch.setenv(given, "http://127.0.0.1:1")
    assert refusal(tmp_path) == f"{given} is set and {missing} is not: set both to use that Supabase, or neither."


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense"])
def test_supabase_out_of_reach_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """With its URL, before anything starts."""
    monkeypatch.setenv("SUPABASE_URL", url)
    monkeypatch.setenv("SUPABASE_KEY", "key")
    assert refusal(tmp_path) == f"SUPABASE_URL is set, and {url} cannot be reached."


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("9", "REDIS_HOST is set, and nobody answers at 127.0.0.1:9."),
        ("many", "The environment variable REDIS_PORT must be a whole number, not 'many'."),
    ],
)
def test_redis_out_of_reach_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str, reason: str) -> None:
    """With its address, before anything starts."""
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", port)
    assert refusal(tmp_path) == reason
