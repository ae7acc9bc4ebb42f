"""The stack's private files."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from local.stack.tenant import write_private


def test_private_file_is_never_seen_half_written(tmp_path: Path) -> None:
    """Who waits for it to exist, and reads it then, has all of it; it replaces an older one in the same way."""
    path, text = tmp_path / "env", "API_KEY=wk_1\n" * 50_000
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if path.exists():
                seen.add(len(path.read_text()))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(50):
        write_private(path, text)
    done.set()
    reader.join()
    assert seen <= {len(text)}
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["env"]
