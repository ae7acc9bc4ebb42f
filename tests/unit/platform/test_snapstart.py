"""The hooks around a snapshot, called as Lambda's runtime calls them."""

from __future__ import annotations

import random

import pytest
import snapshot_restore_py as runtime

from shared.platform.snapstart import modules, prepare


def test_hooks_warm_drop_connections_and_reseed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: imports, then connections end; after: two restores of one snapshot draw different numbers."""
    monkeypatch.setattr(runtime, "_before_snapshot_registry", [])
    monkeypatch.setattr(runtime, "_after_restore_registry", [])
    done = []

    async def drop() -> None:
        done.append("dropped")

    assert prepare(lambda: done.append("warmed"), drop)
    for function, arguments, named in runtime.get_before_snapshot():
        function(*arguments, **named)
    assert done == ["warmed", "dropped"]
    state, drawn = random.getstate(), []
    for _ in range(2):
        random.setstate(state)
        for function, arguments, named in runtime.get_after_restore():
            function(*arguments, **named)
        drawn.append(random.random())
    assert drawn[0] != drawn[1]


def test_modules_are_imported() -> None:
    """And one that is not there is an error of the deployment's first version."""
    modules("json", "email.message")()
    with pytest.raises(ModuleNotFoundError):
        modules("nowhere")()
