"""What a first invocation may cost: `make bench-cold` shows the table and which packages cost most."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.cold import Bench, Imported, Start, benches, budget

# Modules by the end of the first event; a module costs about half a millisecond. There is head-room for a few files,
# not for a package.
MAX_MODULES = {"authorizer": 360, "intake": 295, "execute": 480, "drain": 545}
MAX_API_MODULES = 460
# On a machine with more to do than processors the same start takes a quarter more of them than on an idle one, and a
# bare handler does not.
SLACK = 1.25
# Packages that no function imports before its first event.
HEAVY = {"boto3", "botocore.client", "supabase", "cryptography.hazmat", "fastapi", "aws_xray_sdk", "jwt", "httpcore"}
# Packages that some functions do not import even during it.
HEAVY_FOR = {"intake": {"pydantic", "aws_lambda_powertools", "bullmq", "httpx"}, "drain": {"aws_lambda_powertools"}}


@pytest.fixture(scope="module")
def bench(build: Path, postgres_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The functions, and live servers for their first events."""
    yield from benches(build, tmp_path_factory.mktemp("cold"), postgres_template)


@pytest.fixture(scope="module")
def imported(bench: Bench) -> dict[str, Imported]:
    """What each function imports."""
    return {name: bench.imported(name) for name in bench.functions}


@pytest.fixture(scope="module")
def starts(bench: Bench) -> list[Start]:
    """The first invocations, the bare handler's before all."""
    return bench.measure(rounds=3)


def test_functions_import_no_more_than_their_share(imported: dict[str, Imported]) -> None:
    """The count of modules that a first event needs is the same on every machine."""
    counts = {name: len(modules.after_event) for name, modules in imported.items()}
    assert {name: n for name, n in counts.items() if n > MAX_MODULES.get(name, MAX_API_MODULES)} == {}


def test_heavy_packages_are_imported_where_they_are_used(imported: dict[str, Imported]) -> None:
    """No function has them before its first event, and some do that without them."""
    heavy = {
        name: HEAVY & {*modules.at_start} | HEAVY_FOR.get(name, set()) & {*modules.after_event}
        for name, modules in imported.items()
    }
    assert {name: names for name, names in heavy.items() if names} == {}


def test_first_invocations_are_within_their_budgets(bench: Bench, starts: list[Start]) -> None:
    """As ratios of processor time to a bare handler in the same run, up to `SLACK`; a second look when the first was
    disturbed."""
    assert not over(starts) or not (again := over(bench.measure(rounds=3))), again


def over(starts: list[Start]) -> dict[str, float]:
    """The ratios above their budgets."""
    ratios = {start.name: round(start.ratio, 1) for start in starts[1:]}
    return {name: ratio for name, ratio in ratios.items() if ratio > SLACK * budget(name)}


def test_first_events_are_answered(starts: list[Start]) -> None:
    """What is measured is work that was done: accepted, answered 200 or 201, a run that was completed. Only the samples
    of signals find nobody who waits for one."""
    answers = {start.name: start.answer for start in starts}
    statuses = {
        name: answer["statusCode"] for name, answer in answers.items() if "statusCode" in answer and name != "signals"
    }
    assert set(statuses.values()) <= {200, 201, 202}, statuses
    assert answers["intake"]["statusCode"] == 202
    assert answers["authorizer"]["isAuthorized"] is True
    assert answers["drain"]["completed"] == 1


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
