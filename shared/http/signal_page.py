"""The pages of a signal's URL: one that asks, with a button that sends, and one that thanks."""

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
    """Asks whether the signal shall be sent, and shows with what. The form goes to this very URL."""
    shown = "" if payload is None else f"<pre>{html.escape(json.dumps(payload, indent=1, ensure_ascii=False))}</pre>"
    return _page(name, f'{shown}<form method="post"><button>Confirm</button></form>')


def thanks(name: str) -> str:
    """Says that the signal has been sent."""
    return _page(name, "<p>Thank you. Your answer has been recorded; you can close this page.</p>")


def _page(name: str, content: str) -> str:
    return _PAGE.format(title=html.escape(name), content=content)
