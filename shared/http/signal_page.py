"""The HTML pages of a signal's URL: a confirmation form, and a thank-you page."""

from __future__ import annotations

import html
import json

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">
<title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1.4rem}}pre{{white-space:pre-wrap;overflow-wrap:anywhere}}</style>
<main><h1>{title}</h1>{content}</main></html>"""


def asking(name: str, payload: object) -> str:
    """A page that shows the payload and has a button that sends the signal, by a POST to the same URL."""
    shown = "" if payload is None else f"<pre>{html.escape(json.dumps(payload, indent=1, ensure_ascii=False))}</pre>"
    return _page(name, f'{shown}<form method="post"><button>Confirm</button></form>')


def thanks(name: str) -> str:
    """A page that confirms that the signal was sent."""
    return _page(name, "<p>Thank you. Your answer has been recorded; you can close this page.</p>")


def _page(name: str, content: str) -> str:
    return _PAGE.format(title=html.escape(name), content=content)
