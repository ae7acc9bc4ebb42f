"""Licences and known vulnerabilities of the locked packages; OSV's database is a server of the test's own."""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.stack.process import ROOT, free_port
from local.tools.dependencies import deployed, is_allowed, licence_of, licence_problems, main, vulnerabilities

LOCK = {
    "package": [
        {"name": "app", "source": {"virtual": "."}, "dependencies": [{"name": "a", "extra": ["more"]}]},
        {
            "name": "a",
            "source": {},
            "dependencies": [{"name": "b"}],
            "optional-dependencies": {"more": [{"name": "c"}]},
        },
        *({"name": name, "source": {}} for name in ("b", "c", "unused")),
    ]
}


def about(**fields: str) -> Message:
    """A package's metadata."""
    message = Message()
    for name, value in fields.items():
        for line in value.split(";"):
            message[name.replace("_", "-")] = line
    return message


def test_what_is_deployed_is_followed_through_extras() -> None:
    """And nothing else of the lock file."""
    assert deployed(LOCK) == ["a", "b", "c"]
    assert {"httpx", "redis", "cryptography"} <= set(deployed(tomllib.loads((ROOT / "uv.lock").read_text())))


@pytest.mark.parametrize(
    ("metadata", "allowed"),
    [
        (about(License_Expression="MIT"), True),
        (about(License_Expression="GPL-3.0-only OR MIT"), True),
        (about(License_Expression="MIT AND GPL-3.0-only"), False),
        (about(License_Expression="(MIT AND GPL-3.0-only) OR AGPL-3.0-only"), False),
        (about(License_Expression="GPL-3.0-only AND (MIT OR ISC)"), False),
        (about(Classifier="License :: OSI Approved;License :: OSI Approved :: BSD License"), True),
        (about(Classifier="License :: OSI Approved :: GNU Affero General Public License v3"), False),
        (about(License="Apache-2.0"), True),
        (about(License="MIT\nCopyright"), True),
        (about(License="Business Source License 1.1"), False),
        (about(Name="silent"), False),
    ],
)
def test_licence_is_allowed_or_a_problem(metadata: Message, allowed: bool) -> None:
    """An expression before classifiers, those before a text; what says nothing is a problem too."""
    assert is_allowed(licence_of(metadata)) is allowed
    problems = licence_problems(["package"], lambda _name: metadata)
    assert len(problems) == (0 if allowed else 1)
    assert all("package: its licence" in line for line in problems)


def test_package_for_another_system_is_not_looked_at() -> None:
    """It is not installed, so its licence is not known here."""
    assert licence_problems(["colorama"], lambda _name: None) == []


def test_vulnerability_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    """With its package, its id and the version without it."""
    with database({"httpx"}) as url:
        assert main(["--service-url", url]) == 1
    assert "PYSEC-2099-1, it lets them in. Mended in 99" in capfd.readouterr().err


def test_no_vulnerability_is_none() -> None:
    """A database that answers, and knows nothing bad."""
    with database(set()) as url:
        assert vulnerabilities(url) == ([], "")


def test_database_out_of_reach_is_a_notice_and_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Nobody listens there, nobody speaks its language there, or the tool is not there."""
    assert main(["--service-url", f"http://127.0.0.1:{free_port()}"]) == 0
    assert "notice: known vulnerabilities were not looked for" in capfd.readouterr().out
    with database(None) as url:
        found, notice = vulnerabilities(url)
    assert (found, notice.partition(",")[0]) == ([], "notice: known vulnerabilities were not looked for")
    assert vulnerabilities(uv=Path("/nowhere/uv"))[1].endswith("(FileNotFoundError)")


@contextmanager
def database(vulnerable: set[str] | None) -> Iterator[str]:
    """OSV's API, which knows a vulnerability of these packages; `None` answers in HTML."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            listed = {"vulns": [{"id": "PYSEC-2099-1", "modified": "2026-01-01T00:00:00Z"}]}
            hits = [listed if one["package"]["name"] in (vulnerable or ()) else {} for one in asked]
            self._answer({"results": hits})

        def do_GET(self) -> None:
            affected = {"package": {"ecosystem": "PyPI", "name": "httpx"}}
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
            dates = dict.fromkeys(("modified", "published"), "2026-01-01T00:00:00Z")
            about_it = {"id": "PYSEC-2099-1", "summary": "it lets them in.", **dates}
            self._answer({"schema_version": "1.6.0", **about_it, "affected": [{**affected, "ranges": ranges}]})

        def _answer(self, value: object) -> None:
            body = b"<html>" if vulnerable is None else json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
