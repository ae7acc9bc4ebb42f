"""Files and links that the documentation names: each one is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")))
# Code in backticks, and blocks of code; of both what begins like a path from the root.
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
NAMED = re.compile(rf"(?<![\w./:$-])(?:{FOLDERS})/[\w./*<>{{}}-]*")
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([\w-]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def named(text: str) -> Iterator[str]:
    """The paths in a page's code, with `*` for what stands in `<…>` or `{…}`."""
    for code in CODE.findall(text):
        for path in NAMED.findall(code):
            yield re.sub(r"<\w+>|\{\w+\}", "*", path).rstrip(".")


def anchors(page: Path) -> set[str]:
    """What links to a page's headings end with: in lower case, words joined by hyphens, nothing else."""
    headings = HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_found(page: Path, link: str, anchor: str) -> bool:
    """Whether a link leads to a file, and its anchor to a heading there."""
    target = page.parent / link if link else page
    return target.exists() and (not anchor or target.suffix != ".md" or anchor in anchors(target))


def missing(page: Path) -> list[str]:
    """The paths and links of a page that lead nowhere."""
    text = page.read_text()
    paths = [path for path in named(text) if not any(ROOT.glob(path.rstrip("/")))]
    links = [f"{link}#{anchor}".rstrip("#") for link, anchor in LINK.findall(text) if not is_found(page, link, anchor)]
    return paths + links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    """A path in code, from the root, and a link, from the page, with the heading that it names."""
    assert missing(page) == []


def test_a_path_that_is_gone_is_found(tmp_path: Path) -> None:
    """In a line, in a block, with a placeholder, and in a link; not what is the reader's own, or an address."""
    page = tmp_path / "page.md"
    page.write_text(
        "`shared/gone.py`, `make it`, `shared/<any>/gone.py`, `https://example.org/docs/gone`, `events/intake/*.json`\n"
        "```\npython tests/gone/\n```\n[gone](gone.md#part) [address](https://example.org/a)\n"
        "## It's here, `now`\n[there](#its-here-now) [not there](page.md#its-gone)\n"
    )
    gone = ["shared/gone.py", "shared/*/gone.py", "tests/gone/", "gone.md#part", "page.md#its-gone"]
    assert missing(page) == gone
