"""The shape of the repository: what every folder may hold, and that template, functions, samples and code agree."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from shared.json_types import JsonObject

ROOT = Path(__file__).parents[2]
PYTHON = sorted(path for folder in ("shared", "functions", "local") for path in (ROOT / folder).rglob("*.py"))
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
SAMPLES = sorted((ROOT / "events").glob("*/*.json"))
TOP_LEVEL_FOLDERS = {"functions", "shared", "events", "tests", "supabase", "local", "console", "docs"}
# What several commands or queries share.
SHARED_BY_USE_CASES = {
    *("command", "optimistic_retry", "write_through", "new_events", "enqueue_resume", "replacement"),
    *("page", "event_view", "response_size"),
    *("loading", "changes", "draft", "graph_problems", "workflow_version", "new_run", "redelivery"),
}
IMPURE = {"os", "time", "random", "logging", "secrets", "socket", "subprocess", "asyncio", "boto3", "httpx", "redis"}


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short intrinsics (`!Ref`, `!Sub` …) as plain values."""


_TemplateLoader.add_multi_constructor(
    "!",
    lambda loader, _suffix, node: (
        loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.SequenceNode)
        else loader.construct_mapping(node, deep=True)
    ),
)


@cache
def template() -> JsonObject:
    """The SAM template, its intrinsics as plain values."""
    return yaml.load((ROOT / "template.yaml").read_text(), Loader=_TemplateLoader)


@cache
def handlers() -> dict[str, JsonObject]:
    """Function folder → the properties of its resource."""
    by_function = {}
    for resource in template()["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            match = re.search(r"functions\.(\w+)\.app\.handler", resource["Properties"]["Handler"])
            assert match, resource["Properties"]["Handler"]
            by_function[match[1]] = resource["Properties"]
    return by_function


def routes(function: str) -> list[tuple[str, str]]:
    """The (method, path) pairs of a function's HTTP events."""
    events = handlers()[function].get("Events", {}).values()
    return [
        (event["Properties"]["Method"].upper(), event["Properties"]["Path"])
        for event in events
        if event["Type"] == "HttpApi"
    ]


def imports(path: Path) -> set[str]:
    """The top-level names of every module that a file imports, anywhere in it."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    return imported


def matches(path: str, pattern: str) -> bool:
    """Whether a request's path fits a route's."""
    expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(pattern)))
    return re.fullmatch(expression, path) is not None


def test_top_level_has_only_the_agreed_folders() -> None:
    """Beside the usual root files, the repository has eight folders."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders - {"node_modules", "build"} <= TOP_LEVEL_FOLDERS


def test_every_function_is_in_the_template_and_the_other_way_round() -> None:
    """A folder in functions/ has exactly one resource in template.yaml."""
    assert sorted(handlers()) == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_a_sample_event(function: str) -> None:
    """Each function can be invoked with a sample from events/<function>/."""
    assert list((ROOT / "events" / function).glob("*.json"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_sample_is_an_event_of_its_function(sample: Path) -> None:
    """A sample lies in its function's folder, and an HTTP sample asks for one of the function's routes."""
    event = json.loads(sample.read_text())
    function = sample.parent.name
    assert function in handlers()
    http = event.get("requestContext", {}).get("http")
    if http and routes(function):
        assert any(
            method in (http["method"], "ANY") and matches(event["rawPath"], path) for method, path in routes(function)
        ), f"{http['method']} {event['rawPath']}"


def test_every_sample_has_its_answer() -> None:
    """`events/answers.json` says how each sample is answered, at least `{"statusCode": …}`, and of no other."""
    answers = json.loads((ROOT / "events" / "answers.json").read_text())
    assert sorted(answers) == sorted(f"{sample.parent.name}/{sample.stem}" for sample in SAMPLES)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_entry_point_is_short(function: str) -> None:
    """An entry point parses, calls and answers in at most 80 lines."""
    assert len((ROOT / "functions" / function / "app.py").read_text().splitlines()) <= 80


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """A module begins with a docstring."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body


def test_a_function_that_imports_another_is_noticed(tmp_path: Path) -> None:
    """`make check` refuses it: a built function has its own folder only."""
    for name in ("functions", "shared", "local"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "functions" / "health" / "app.py").open("a") as health:
        health.write("from functions.audit.app import feed\n")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Functions never import each other BROKEN" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("folder", ["domain", "events"])
def test_pure_layers_import_nothing_that_reaches_out(folder: str) -> None:
    """The domain and the events know no I/O, clock, randomness, environment or log."""
    impure = {
        str(path.relative_to(ROOT)): sorted(imports(path) & IMPURE) for path in (ROOT / "shared" / folder).rglob("*.py")
    }
    assert {path: names for path, names in impure.items() if names} == {}


def test_every_command_and_query_is_one_file_with_one_public_coroutine() -> None:
    """One file, one use case: a module in commands/ or queries/ defines the coroutine that it is named after."""
    missing = []
    for path in [*(ROOT / "shared/commands").rglob("*.py"), *(ROOT / "shared/queries").rglob("*.py")]:
        if path.stem.startswith("_") or path.stem in SHARED_BY_USE_CASES:
            continue
        defined = {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}
        if path.stem not in defined:
            missing.append(str(path.relative_to(ROOT)))
    assert missing == []


def test_the_database_is_reached_through_the_supabase_client_alone() -> None:
    """No deployed module imports a Postgres driver."""
    drivers = {"psycopg", "asyncpg", "psycopg2", "sqlalchemy"}
    reaching = [path for path in PYTHON if "local" not in path.relative_to(ROOT).parts and imports(path) & drivers]
    assert reaching == []


def is_about_a_module(test: Path) -> bool:
    """Whether a module of the test's package begins the test's name: `test_catalog_patterns` is about `catalog`."""
    folder, name = test.parent.relative_to(ROOT / "tests/unit"), test.stem.removeprefix("test_")
    modules = [module for beside in ("shared", ".", "tests") for module in (ROOT / beside / folder).glob("*.py")]
    stems = {module.stem.strip("_") for module in modules if module.stem != "__init__"}
    return any(name == stem or name.startswith(f"{stem}_") for stem in stems)


def test_unit_tests_mirror_the_modules() -> None:
    """`tests/unit/x/test_y.py`, or `test_y_….py`, is about `shared/x/y.py`; or about `local/…` or `tests/…`."""
    tests = sorted((ROOT / "tests/unit").rglob("test_*.py"))
    assert [str(test.relative_to(ROOT)) for test in tests if not is_about_a_module(test)] == []


def test_every_package_says_what_it_is_for_and_has_nothing_else_in_it() -> None:
    """`__init__` has a docstring, the table of contents, so that importing a module of a package costs no other."""
    packages = [path for folder in ("shared", "local") for path in (ROOT / folder).rglob("__init__.py")]
    assert [str(path.relative_to(ROOT)) for path in packages if len(ast.parse(path.read_text()).body) != 1] == []
    assert [str(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_module_is_underscored() -> None:
    """So none is imported from outside its package: what only a package uses has a name that says what is in it."""
    assert [str(path) for path in PYTHON if path.stem.startswith("_") and not path.stem.startswith("__")] == []
