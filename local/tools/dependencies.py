"""`python -m local dependencies`: licences and known vulnerabilities of the packages in uv.lock.

Licences are those of the packages that are deployed, as they say themselves; one that is not in the list below is an
error. Vulnerabilities are looked up in OSV's database by `uv audit`. Where it cannot be reached, nothing is known: that
is printed, and is no error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from email.message import Message
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from local.stack.process import ROOT
from shared.json_types import JsonObject

# As SPDX calls them, then as the classifiers of older packages do. The Mozilla Public License binds changes of its own
# files alone; a licence that binds what is built with it does not belong here.
ALLOWED = {
    *("MIT", "MIT-0", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0", "MPL-2.0"),
    *("MIT License", "MIT No Attribution License (MIT-0)", "BSD License", "Apache Software License"),
    "Mozilla Public License 2.0 (MPL 2.0)",
}
# Vulnerabilities that do not concern this service, each with the reason.
IGNORED: dict[str, str] = {}
_UV = ROOT / ".local" / "tools" / "bin" / "uv"
_AUDIT_SECONDS = 60


def main(argv: list[str]) -> int:
    """0 when all is well, as far as that can be known; 1 for a licence or a vulnerability that is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m local dependencies", description=__doc__)
    parser.add_argument("--service-url", help="another database with OSV's API")
    options = parser.parse_args(argv)
    problems = licence_problems(deployed(tomllib.loads((ROOT / "uv.lock").read_text())), _metadata)
    found, notice = vulnerabilities(options.service_url)
    for line in (*problems, *found):
        print(line, file=sys.stderr)
    if notice:
        print(notice)
    return 1 if problems or found else 0


# -- licences


def deployed(lock: JsonObject) -> list[str]:
    """The names of the packages that the functions need, directly or not, extras included, by the lock file."""
    packages: dict[str, list[JsonObject]] = {}
    for package in lock["package"]:
        packages.setdefault(package["name"], []).append(package)
    (project,) = (name for name, ones in packages.items() if "virtual" in ones[0]["source"])
    seen, open_ = set[tuple[str, str]](), [(project, "")]
    while open_:
        name, extra = wanted = open_.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        for package in packages[name]:
            needs = (
                package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
            )
            open_ += [(need["name"], more) for need in needs for more in ("", *need.get("extra", ()))]
    return sorted({name for name, _ in seen} - {project})


def licence_problems(names: list[str], metadata_of: Callable[[str], Message | None]) -> list[str]:
    """A line for each package whose licence is unknown or not allowed. One that is not installed (`None`) is for
    another Python or system, and is not looked at."""
    problems = []
    for name in names:
        about = metadata_of(name)
        if about is not None and not is_allowed(licence := licence_of(about)):
            problems.append(
                f"{name}: its licence, {licence or 'which it does not say'}, is not in local/tools/dependencies.py."
            )
    return problems


def licence_of(about: Message) -> str:
    """The licence as an SPDX expression, else the classifiers', joined by AND, else the first line of its text."""
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [str(line).split(" :: ") for line in about.get_all("Classifier", [])]
    names = [parts[-1] for parts in classifiers if parts[0] == "License" and parts[-1] != "OSI Approved"]
    return " AND ".join(names) or str(about.get("License") or "").strip().partition("\n")[0]


def is_allowed(licence: str) -> bool:
    """Whether all parts of an expression are allowed, and of those between which one may choose, one. An expression
    with a choice inside parentheses is taken for one without any."""
    alternatives = [one.split(" AND ") for one in licence.split(" OR ")]
    # An expression may have parentheses around a part, and a classifier in its name.
    verdicts = [[bool({part, part.strip("() ")} & ALLOWED) for part in parts] for parts in alternatives]
    is_nested = "(" in licence and len(verdicts) > 1
    return all(map(all, verdicts)) if is_nested else any(map(all, verdicts))


def _metadata(name: str) -> Message | None:
    try:
        return metadata(name)  # type: ignore[return-value]  # a Message, by another name
    except PackageNotFoundError:
        return None


# -- vulnerabilities


def vulnerabilities(service_url: str | None = None, uv: Path = _UV) -> tuple[list[str], str]:
    """A line for each known vulnerability of a locked package, those for development included, and a notice where the
    database gave no answer: then nothing is known."""
    command: list[str | Path] = [uv, "audit", "--frozen", "--no-group", "providers", "--output-format", "json"]
    command += ["--preview-features", "audit-command,json-output"]
    command += [f"--ignore={name}" for name in IGNORED]
    command += ["--service-url", service_url] if service_url else []
    environment: Mapping[str, str] = {"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "10", **os.environ}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_AUDIT_SECONDS
        )
        report = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = done.stderr.strip().partition("\n")[0] if isinstance(error, ValueError) else type(error).__name__
        return [], f"notice: known vulnerabilities were not looked for, as OSV's database gave no answer ({reason})"
    return [described(one) for one in report["vulnerabilities"]], ""


def described(found: JsonObject) -> str:
    """One vulnerability in a line: package, id, what it is, and in which version it is mended."""
    package, mended = found["dependency"], ", ".join(found["fix_versions"]) or "no version yet"
    return (
        f"{package['name']} {package['version']}: {found['id']}, {found['summary']} Mended in {mended}. {found['link']}"
    )
