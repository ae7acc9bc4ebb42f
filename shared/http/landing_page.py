"""The page at /console, with links to the documentation and health checks."""

from __future__ import annotations

from shared.http.docs_page import STYLE
from shared.http.version import TITLE

LANDING_PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>
<h1>{TITLE}</h1>
<p>There is no graphical console yet: everything is done through the API.</p>
<ul>
<li><a href="/docs">The API's documentation</a>, also as an <a href="/openapi.json">OpenAPI document</a></li>
<li><a href="/health">Health</a>, and <a href="/health/invariants">violated invariants</a> (there are none)</li>
</ul>
</body></html>"""
