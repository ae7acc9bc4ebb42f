"""What is built for Lambda, over a small tree."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

import pytest

from local.tools.artifacts import BuildError, build_function, folder_of, interpreter, sizes

MINOR = "%d.%d" % sys.version_info[:2]  # noqa: UP031 -- the slice fills the format


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two functions, and something shared that has data."""
    root = tmp_path / "tree"
    for name in ("first", "second_one"):
        (root / "functions" / name).mkdir(parents=True)
        (root / "functions" / name / "__init__.py").touch()
        (root / "functions" / name / "app.py").write_text(
            "from shared.it import it\n\n\ndef handler(e, c): return it\n"
        )
    (root / "functions" / "__init__.py").touch()
    (root / "shared").mkdir()
    (root / "shared" / "it.py").write_text("it = 1\n")
    (root / "shared" / "rules.toml").write_text("x = 1\n")
    (root / "shared" / "script.lua").write_text("return 1\n")
    return root


def answer(artifact: Path, function: str) -> str:
    """What a built function's handler answers in a process that sees nothing else."""
    code = f"from functions.{function}.app import handler; print(handler(None, None))"
    done = subprocess.run([sys.executable, "-c", code], cwd=artifact, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_folder_of_a_resource() -> None:
    """Logical ids are the folders' names in camel case."""
    assert folder_of("IntakeFunction") == "intake"
    assert folder_of("ApiKeysFunction") == "api_keys"


def test_a_function_has_its_own_code_and_data_and_no_other_function(tree: Path, tmp_path: Path) -> None:
    """Data files and bytecode are there; another function is not, so importing one fails."""
    built = tmp_path / "built"
    build_function("SecondOneFunction", built, sys.executable, tree)
    assert answer(built, "second_one") == "1"
    assert sorted(path.name for path in (built / "functions").iterdir() if path.name != "__pycache__") == [
        "__init__.py",
        "second_one",
    ]
    assert {path.name for path in (built / "shared").iterdir()} >= {"rules.toml", "script.lua", "__pycache__"}
    (tree / "functions/second_one/app.py").write_text("from functions.first.app import handler\n")
    build_function("SecondOneFunction", built, sys.executable, tree)
    assert answer(built, "second_one") == "ModuleNotFoundError: No module named 'functions.first'"


def test_everything_is_compiled_and_nobody_looks_at_its_time(tree: Path, tmp_path: Path) -> None:
    """Each module has its bytecode, by this minor version, and with a hash that is not checked: deployment changes the
    files' times, and what looks at them would compile at every cold start. Source: PEP 552."""
    build_function("FirstFunction", tmp_path / "built", sys.executable, tree)
    sources = list((tmp_path / "built").rglob("*.py"))
    assert len(sources) == 4
    for source in sources:
        magic, flags = struct.unpack("<4sI", Path(cache_from_source(str(source))).read_bytes()[:8])
        assert (magic, flags) == (MAGIC_NUMBER, 0b01), source


def test_a_function_has_the_files_that_it_reads(tree: Path, tmp_path: Path) -> None:
    """The console's description of the API is where it is here; the build of no other function has it."""
    (tree / "functions" / "first").rename(tree / "functions" / "console")
    (tree / "docs").mkdir()
    (tree / "docs" / "openapi.json").write_text("{}")
    for name in ("Console", "SecondOne"):
        build_function(f"{name}Function", tmp_path / name, sys.executable, tree)
    assert (tmp_path / "Console" / "docs" / "openapi.json").read_text() == "{}"
    assert not (tmp_path / "SecondOne" / "docs").exists()


def test_a_build_is_never_stale(tree: Path, tmp_path: Path) -> None:
    """What `shared/` says now is what is built, bytecode too."""
    for value in (1, 2):
        (tree / "shared" / "it.py").write_text(f"it = {value}\n")
        build_function("FirstFunction", tmp_path / "built", sys.executable, tree)
        assert answer(tmp_path / "built", "first") == str(value)


def test_code_that_does_not_compile_is_not_built(tree: Path, tmp_path: Path) -> None:
    """A syntax error is the build's, not the first cold start's."""
    (tree / "shared" / "it.py").write_text("it = = 1\n")
    with pytest.raises(BuildError, match=r"it\.py"):
        build_function("FirstFunction", tmp_path / "built", sys.executable, tree)


def test_a_resource_without_an_entry_point_is_named(tree: Path, tmp_path: Path) -> None:
    """A function of the template without its folder."""
    with pytest.raises(BuildError, match="ThirdFunction"):
        build_function("ThirdFunction", tmp_path / "built", sys.executable, tree)


def test_the_interpreter_is_found_or_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This very Python is one; of a version that nobody has, the message says how to get it."""
    assert interpreter(MINOR)
    with pytest.raises(BuildError, match=r"uv python install 3\.99"):
        interpreter("3.99")
    monkeypatch.setenv("PYTHON399", sys.executable)
    with pytest.raises(BuildError, match=r"PYTHON399=.* is Python 3"):
        interpreter("3.99")


def test_versions_of_another_user_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After `su` the environment may name a pyenv that this user cannot read."""
    (tmp_path / "versions").mkdir()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "versions")
    monkeypatch.setattr(Path, "glob", lambda path, pattern: pytest.fail(f"{path} is searched"))
    with pytest.raises(BuildError, match=r"uv python install 3\.99"):
        interpreter("3.99")


def test_sizes_are_those_of_the_artifacts(tmp_path: Path) -> None:
    """In bytes, by resource."""
    (tmp_path / "FirstFunction" / "deep").mkdir(parents=True)
    (tmp_path / "FirstFunction" / "deep" / "x.py").write_bytes(bytes(10))
    assert sizes(tmp_path) == [("FirstFunction", 10)]


def test_revision_makes_a_function_another_one(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what differs is deployed as a new version; the same text makes the same function."""
    for name, revision in (("one", "first"), ("two", "second")):
        monkeypatch.setenv("REVISION", revision)
        build_function("FirstFunction", tmp_path / name, sys.executable, tree)
        assert (tmp_path / name / "REVISION").read_text() == revision
