"""What a first invocation may cost: `make bench-cold` shows the table and who is to blame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.cold import BARE, Bench, benches, budget

# Modules by the end of the first event; a module costs about half a millisecond. Head-room for some files, not for a
# package.
MAX_MODULES = {"authorizer": 380, "intake": 310, "execute": 545, "drain": 560}
MAX_API_MODULES = 480
# What no function has before its first event.
HEAVY = {"boto3", "botocore.client", "supabase", "cryptography.hazmat", "fastapi", "aws_xray_sdk", "jwt", "httpcore"}
# What some have not even after it.
HEAVY_FOR = {"intake": {"pydantic", "aws_lambda_powertools", "bullmq", "httpx"}, "drain": {"aws_lambda_powertools"}}


@pytest.fixture(scope="module")
def bench(build: Path, postgres_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The functions, and live servers for their first events."""
    yield from benches(build, tmp_path_factory.mktemp("cold"), postgres_template)


def test_functions_import_no_more_than_their_share(bench: Bench) -> None:
    """The count of modules that a first event needs is the same on every machine."""
    counts = {name: len(bench.imported(name).after_event) for name in bench.functions}
    assert {name: n for name, n in counts.items() if n > MAX_MODULES.get(name, MAX_API_MODULES)} == {}


def test_heavy_packages_are_imported_where_they_are_used(bench: Bench) -> None:
    """No function has them before its first event, and some do that without them."""
    found = {}
    for name in bench.functions:
        imported = bench.imported(name)
        found[name] = HEAVY & {*imported.at_start} | HEAVY_FOR.get(name, set()) & {*imported.after_event}
    assert {name: names for name, names in found.items() if names} == {}


def test_first_invocations_are_within_their_budgets(bench: Bench) -> None:
    """As ratios of processor time to a bare handler in the same run; a second look when the first was disturbed."""

    def over() -> dict[str, float]:
        bare, *starts = bench.measure(rounds=3)
        assert bare.name == BARE
        ratios = {start.name: round(start.cpu_ms / bare.cpu_ms, 1) for start in starts}
        return {name: ratio for name, ratio in ratios.items() if ratio > budget(name)}

    assert not over() or not (again := over()), again


def test_first_events_are_answered(bench: Bench) -> None:
    """What is measured is work that was done: accepted, answered 200 or 201, a run that was completed."""
    answers = {start.name: start.answer for start in bench.measure(rounds=1)}
    statuses = {name: answer["statusCode"] for name, answer in answers.items() if "statusCode" in answer}  # type: ignore[operator,index]
    assert set(statuses.values()) <= {200, 201, 202}, statuses
    assert answers["intake"]["statusCode"] == 202  # type: ignore[index]
    assert answers["authorizer"]["isAuthorized"] is True  # type: ignore[index]
    assert answers["drain"]["completed"] == 1  # type: ignore[index]


def test_a_removed_dependency_is_noticed(bench: Bench, tmp_path: Path) -> None:
    """A layer without one of its packages: the function that needs it cannot start, and the check says so."""
    function = bench.functions["intake"]
    (tmp_path / "python").mkdir()
    for package in (function.layers[0] / "python").iterdir():
        if package.name != "redis":
            (tmp_path / "python" / package.name).symlink_to(package)
    broken = dataclasses.replace(function, layers=(tmp_path,))
    with pytest.raises(RuntimeError, match="No module named 'redis'"):
        bench.imported("intake", broken)
