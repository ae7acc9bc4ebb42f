"""The shapes of answers under /api/workflows/{id}/publish and /unpublish."""

from __future__ import annotations

from shared.http.views.common import Id, View


class PublishedView(View):
    """What is published of a workflow."""

    id: Id
    version: int
    published_version: int | None
