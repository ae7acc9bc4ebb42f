"""Every setting is documented, and reaches the functions of the local stack."""

from __future__ import annotations

import re
from pathlib import Path

from shared.settings import Settings

ROOT = Path(__file__).parents[2]
VARIABLES = sorted(set(re.findall(r'"([A-Z][A-Z_]+)"', (ROOT / "shared/settings.py").read_text())))
# Where `make dev` takes a variable from: the shell, the stack's own servers, or the template.
SOURCES = ("local/stack/given_servers.py", "local/stack/stack.py", "template.yaml")


def test_every_setting_is_a_variable_in_its_reference() -> None:
    """`docs/reference/settings.md` has a row for each."""
    assert {name.upper() for name in Settings._fields} <= set(VARIABLES)
    page = (ROOT / "docs/reference/settings.md").read_text()
    assert [name for name in VARIABLES if not re.search(rf"^\|.*`{name}`", page, re.MULTILINE)] == []


def test_every_setting_reaches_the_local_stack() -> None:
    """A variable that is set in the shell, or that the template sets, is the functions' too."""
    text = "\n".join((ROOT / source).read_text() for source in SOURCES)
    assert [name for name in VARIABLES if not re.search(rf"\b{name}\b", text)] == []
