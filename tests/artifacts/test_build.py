"""What lies in the built artifacts."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from local.stack.lambda_environment import Runtime


def test_all_code_is_compiled_for_the_runtime(build: Path) -> None:
    """Each module of the layer and of every function has its bytecode, by the runtime's own minor version, with a hash
    that nobody checks: /var/task is read-only, and deployment changes the files' times. Source: PEP 552."""
    code = "import importlib.util, sys; print(importlib.util.MAGIC_NUMBER.hex(), sys.implementation.cache_tag)"
    python = Runtime.of(build).python
    magic, tag = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    sources = [path for path in build.rglob("*.py") if path.parts[len(build.parts)].endswith(("Function", "Layer"))]
    stale = []
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        head = compiled.read_bytes()[:8] if compiled.is_file() else b""
        if head != struct.pack("<4sI", bytes.fromhex(magic), 0b01):
            stale.append(str(source.relative_to(build)))
    assert len(sources) > 1000
    assert stale == []


def test_tests_and_tools_are_not_deployed(build: Path) -> None:
    """A function has the code of functions and `shared/`, and the layer no package's tests."""
    functions = [path for path in build.iterdir() if path.name.endswith("Function")]
    held = {path.name for function in functions for path in function.iterdir()}
    assert held <= {"functions", "shared", "docs", "REVISION"}
    assert [path for path in (build / "DependenciesLayer" / "python").glob("*/tests") if path.is_dir()] == []
