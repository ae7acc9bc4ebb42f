"""What `sam build` collects: one layer of dependencies, and per function its own folder and `shared/` as they are.

    python -m local.tools.artifacts function <Logical id> <folder>
    python -m local.tools.artifacts layer <folder>
    python -m local.tools.artifacts sizes <build folder>

Standard library only: it runs in whatever Python `make` was given, before anything is installed. Bytecode is shipped,
because /var/task is read-only and every cold start would compile again; with unchecked hashes, because deployment
changes the files' times; written by the runtime's own minor version, because no other can read it; and without the
columns of each instruction, which are a sixth of the time that reading it takes: tracebacks show the line.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNTIME = "3.13"
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024  # docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# Never imported on Lambda: tests of packages, type stubs, and boto3's descriptions of services that are not used here,
# by far the largest part.
UNUSED = ("bin", "h2", "hpack", "hyperframe")  # httpcore imports HTTP/2 if it is installed; it is not used here
SERVICES = frozenset(("lambda", "secretsmanager", "sqs", "sns", "events", "sesv2", "sts", "kms"))

# Files that a function reads besides its code, under the same path as here.
DATA = {"console": ("docs/openapi.json",)}


class BuildError(RuntimeError):
    """Something that the build needs is missing; the message says what, and how to get it."""


def interpreter(minor: str = RUNTIME) -> str:
    """The path of a Python `minor`: PYTHON313 (for 3.13), else from PATH, else one of pyenv's. Raises `BuildError`."""
    variable = f"PYTHON{minor.replace('.', '')}"
    candidates = [os.environ.get(variable, ""), shutil.which(f"python{minor}") or "", sys.executable]
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    if os.access(versions, os.R_OK | os.X_OK):  # another user's, after su, may be closed to this one
        candidates += [str(path) for path in sorted(versions.glob(f"{minor}.*/bin/python{minor}"), reverse=True)]
    for candidate in filter(None, candidates):
        # A shim may be on PATH without anything behind it.
        if (version := _minor(candidate)) == minor:
            return candidate
        if candidate == os.environ.get(variable):
            raise BuildError(f"{variable}={candidate} is Python {version or 'of no version'}, not {minor}.")
    raise BuildError(
        f"The build needs Python {minor}, the runtime's own version, and finds none on PATH.\n"
        f"Get it with one of: uv python install {minor} · pyenv install {minor} · apt install python{minor}\n"
        f"or name one: make build {variable}=/path/to/python{minor}"
    )


def _minor(python: str) -> str | None:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def folder_of(logical_id: str) -> str:
    """The folder of a function's resource: `ApiKeysFunction` is `api_keys`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", logical_id.removesuffix("Function")).lower()


def build_function(logical_id: str, artifacts: Path, python: str, root: Path = ROOT) -> None:
    """Copy the function's own code and what functions share; nothing of another function.

    Raises `BuildError` for one that is not there, and for code that the target's Python does not compile.
    """
    source = root / "functions" / folder_of(logical_id)
    if not (source / "app.py").is_file():
        raise BuildError(f"{logical_id} has no entry point: there is no {source / 'app.py'}.")
    without = shutil.ignore_patterns("__pycache__")
    (artifacts / "functions").mkdir(parents=True, exist_ok=True)
    shutil.copy2(root / "functions" / "__init__.py", artifacts / "functions")
    shutil.copytree(source, artifacts / "functions" / source.name, ignore=without, dirs_exist_ok=True)
    shutil.copytree(root / "shared", artifacts / "shared", ignore=without, dirs_exist_ok=True)
    for name in DATA.get(source.name, ()):
        (artifacts / name).parent.mkdir(exist_ok=True)
        shutil.copy2(root / name, artifacts / name)
    # Only what differs is published, and a parameter that was changed alone changes nothing here.
    (artifacts / "REVISION").write_text(os.environ.get("REVISION", ""))
    compile_all(artifacts, python)


def build_layer(artifacts: Path, architecture: str, minor: str, cache: Path) -> None:
    """Copy the locked dependencies; they are installed again only when the lock has changed."""
    uv = os.environ.get("UV", "uv")
    export = [uv, "export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header"]
    wanted = subprocess.run(export, cwd=ROOT, check=True, capture_output=True).stdout
    key = hashlib.sha256(b"\0".join((wanted, minor.encode(), Path(__file__).read_bytes()))).hexdigest()[:16]
    cached = cache / f"{architecture}-{key}"
    if not (cached / ".complete").exists():
        shutil.rmtree(cached, ignore_errors=True)
        cached.mkdir(parents=True)
        (cached / "requirements.txt").write_bytes(wanted)
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", minor]
        install += ["--python-platform", PLATFORMS[architecture], "--target", str(cached / "python")]
        subprocess.run([*install, "-r", str(cached / "requirements.txt")], check=True)
        _slim(cached / "python")
        compile_all(cached / "python", interpreter(minor))
        (cached / ".complete").touch()
    artifacts.mkdir(parents=True, exist_ok=True)
    shutil.copytree(cached / "python", artifacts / "python", dirs_exist_ok=True)


def _slim(packages: Path) -> None:
    for name in UNUSED:
        shutil.rmtree(packages / name, ignore_errors=True)
    for data in (packages / "botocore" / "data").iterdir():
        if data.is_dir() and data.name not in SERVICES:
            shutil.rmtree(data)
    for name in ("tests", "test"):
        for folder in packages.glob(f"*/{name}"):
            shutil.rmtree(folder)


def compile_all(folder: Path, python: str) -> None:
    """Write the bytecode of everything in `folder`, with the paths that it has on Lambda.

    Raises `BuildError` for what `python` does not compile.
    """
    command = [
        python,
        "-X",
        "no_debug_ranges",
        "-m",
        "compileall",
        "-q",
        "-j",
        "0",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    done = subprocess.run([*command, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"Not everything in {folder} is Python {_minor(python)}:\n{done.stdout[-2000:]}")


def sizes(build: Path) -> list[tuple[str, int]]:
    """What was built, and its unzipped bytes. Raises `BuildError` when a function exceeds Lambda's limit."""
    folders = [
        (folder.name, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        for folder in sorted(build.iterdir())
        if folder.is_dir()
    ]
    by_name = dict(folders)
    layer = by_name.get("DependenciesLayer", 0)
    if too_large := [name for name, size in folders if name.endswith("Function") and size + layer > MAX_UNZIPPED_BYTES]:
        raise BuildError(f"Over Lambda's 250 MB with the layer: {', '.join(too_large)}.")
    return folders


def main(argv: list[str]) -> int:
    """Build what sam asks for: 1 with a message when something is missing."""
    what, *rest = argv
    minor = os.environ.get("RUNTIME_PYTHON") or RUNTIME
    architecture = os.environ.get("ARCH") or "arm64"
    try:
        if what == "function":
            build_function(rest[0], Path(rest[1]), interpreter(minor))
        elif what == "layer":
            if architecture not in PLATFORMS:
                raise BuildError(f"ARCH is {' or '.join(PLATFORMS)}, not {architecture}.")
            build_layer(Path(rest[0]), architecture, minor, ROOT / ".local" / "lambda" / "layers")
        elif what == "interpreter":
            print(interpreter(minor))
        elif what == "architecture":
            print("arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64")
        elif what == "sizes":
            for name, size in sizes(Path(rest[0])):
                print(f"  {name:<22}{size / 1e6:8.2f} MB")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
