"""What a first invocation may cost: `make bench-cold` shows the table and who is to blame."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
from pathlib import Path

import pytest

from local.lambda_environment import Runtime
from local.template import Function, read_template
from tests.bench.cold import Start, budget, folder, measure, modules, paths

# A module costs about half a millisecond. Head-room of a fifth, so that a new package is noticed and a new file not.
MAX_MODULES = {"authorizer": 190, "intake": 270, "console": 280, "drain": 430}
MAX_API_MODULES = 440
HEAVY = ("boto3", "botocore.client", "supabase", "cryptography.hazmat", "fastapi", "aws_xray_sdk", "jwt")
HEAVY_FOR = {"intake": ("pydantic", "aws_lambda_powertools", "bullmq"), "drain": ("aws_lambda_powertools",)}


def functions(build: Path) -> dict[str, Function]:
    """The built functions by their folders."""
    template = read_template(build / "template.yaml")
    return {folder(function): function for function in template.functions.values()}


def test_functions_import_no_more_than_their_share(build: Path) -> None:
    """The count of imported modules is the same on every machine."""
    runtime = Runtime.of(build)
    counts = {name: modules(function, runtime) for name, function in functions(build).items()}
    assert {name: n for name, n in counts.items() if n > MAX_MODULES.get(name, MAX_API_MODULES)} == {}


def test_heavy_packages_are_imported_where_they_are_used(build: Path) -> None:
    """No function has them before its first event."""
    runtime, found = Runtime.of(build), {}
    for name, function in functions(build).items():
        heavy = (*HEAVY, *HEAVY_FOR.get(name, ()))
        code = f"import sys, {function.handler.rpartition('.')[0]}; print(*(n for n in {heavy!r} if n in sys.modules))"
        command = [*runtime.interpreter, "-c", code]
        environment = dict(paths(function, runtime))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        if done.stdout.strip():
            found[name] = done.stdout.split()
    assert found == {}


def test_first_invocations_are_within_their_budgets(build: Path) -> None:
    """As ratios to a bare handler in the same run; a second look when somebody else had the machine."""

    def over() -> list[str]:
        bare, *starts = asyncio.run(measure(build, rounds=3))
        return [shown(start, bare) for start in starts if start.first_ms > budget(start.name) * bare.first_ms]

    assert not over() or not (again := over()), again


def shown(start: Start, bare: Start) -> str:
    """One line of the table."""
    return f"{start.name}: {start.first_ms / bare.first_ms:.1f} times a bare handler, {start.modules} modules"


def test_a_removed_dependency_is_noticed(build: Path, tmp_path: Path) -> None:
    """A layer without one of its packages: the function that needs it cannot be imported, and the check says so."""
    function = functions(build)["intake"]
    (tmp_path / "python").mkdir()
    for package in (function.layers[0] / "python").iterdir():
        if package.name != "redis":
            (tmp_path / "python" / package.name).symlink_to(package)
    broken = dataclasses.replace(function, layers=(tmp_path,))
    with pytest.raises(RuntimeError, match="No module named 'redis'"):
        modules(broken, Runtime.of(build))
