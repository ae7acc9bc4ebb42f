"""The shapes of answers under /signals: signals by URLs that are credentials."""

from __future__ import annotations

from shared.http.views.common import View


class RecordedView(View):
    """The signal is recorded."""

    recorded: bool
