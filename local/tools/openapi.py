"""`python -m local openapi [--check]`: writes docs/openapi.json, or says whether it is what would be written."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from shared.http.openapi import document

PATH = Path(__file__).parents[2] / "docs" / "openapi.json"


def main(arguments: list[str] | None = None) -> int:
    """0, or with `--check` 1 when the file is not what would be written."""
    parser = argparse.ArgumentParser(prog="python -m local openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not current")
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if not parser.parse_args(arguments).check:
        PATH.write_text(text, encoding="utf-8")
        return 0
    if PATH.exists() and PATH.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PATH.relative_to(Path.cwd())} is not current: run `python -m local openapi`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
