"""What the commands say when they cannot do what they are for: one line, not a traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import dev
from local.stack.process import free_port
from local.tools import api_key, rebuild, sink
from shared.settings import settings


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a Supabase that nobody serves, in the environment."""
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("SUPABASE_URL", url)
    monkeypatch.setenv("SUPABASE_KEY", "key")
    settings.cache_clear()
    yield url
    settings.cache_clear()


@pytest.mark.parametrize("value", ["many", "-1", "65536"])
def test_dev_refuses_what_is_no_port(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where PORT says it."""
    monkeypatch.setenv("PORT", value)
    with pytest.raises(SystemExit, match="2"):
        dev.main(["--dir", str(tmp_path)])
    assert f"argument --port: invalid port value: '{value}'" in capsys.readouterr().err


def test_sink_on_a_port_in_use_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And how to choose another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert sink.main(["--port", str(port)]) == 1
    assert f"Port {port} cannot be used: Address already in use" in capsys.readouterr().err


def test_rebuild_without_its_database_says_so(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    """2, so that a script can tell it from a difference."""
    assert rebuild.main(["--check", "--url", nowhere, "--key", "key"]) == 2
    assert f"rebuild: {nowhere} cannot be reached" in capsys.readouterr().err


def test_api_key_without_its_database_says_so(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And prints no key that nobody knows."""
    assert api_key.main([]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"{nowhere} cannot be reached.\n")


def test_api_key_without_settings_names_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage and the variable's name."""
    monkeypatch.delenv("SUPABASE_URL", raising=False)
    settings.cache_clear()
    with pytest.raises(SystemExit, match="2"):
        api_key.main([])
    assert "The environment variable SUPABASE_URL is not set." in capsys.readouterr().err
    settings.cache_clear()
