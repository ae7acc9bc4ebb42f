"""How far a reader has to walk: the files that one delivery passes, and how often it returns to one already left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from shared.platform.runtime import run
from tests.integration.webhooks.sender import Sender

ROOT = Path(__file__).parents[3]
MAX_FILES = 27
MAX_RETURNS = 38


def files_of(work: Callable[[], object]) -> list[str]:
    """The project's files that a call runs through, in order, each as often as it is called from another. A coroutine
    that goes on after waiting has not been called again."""
    files: list[str] = []
    begun: list[FrameType] = []  # kept, so that no frame is taken for another

    def enter(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
        if event != "call" or not file.startswith(("shared/", "functions/")) or any(frame is each for each in begun):
            return
        begun.append(frame)
        if not files or files[-1] != file:
            files.append(file)

    sys.setprofile(enter)
    try:
        work()
    finally:
        sys.setprofile(None)
    return files


def test_signed_delivery_takes_a_short_way(sender: Sender) -> None:
    """GitHub's HMAC, a warm process, a live drain."""
    run(sender.services.live_drains.announce("a drain", 60))
    assert sender.send(b'{"n": 0}', x_github_delivery="zero", x_github_event="push").status == 202
    signed = sender.event(b'{"n": 1}', x_github_delivery="one", x_github_event="push")
    files = files_of(lambda: sender.invoke(signed))
    passed = {*files}
    assert "shared/webhooks/signatures/verification.py" in passed
    assert len(passed) <= MAX_FILES, passed
    assert len(files) - len(passed) <= MAX_RETURNS, files
