"""The charsets in which a response's text is decoded.

Python's codec registry has more: codecs of bytes that are not text, and ones that take quadratic time (punycode); and
it remembers every unknown name that it is asked for. So no name that comes from a server is passed to it.
"""

from __future__ import annotations

import httpx

# As the web has them (https://encoding.spec.whatwg.org/#names-and-labels), by the names under which Python knows them.
_NAMES = """
    ascii us-ascii latin-1 latin1 utf8 utf-8 utf-16 utf-16le utf-16be utf-32 utf-32le utf-32be
    iso-8859-1 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-9 iso-8859-10
    iso-8859-11 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 windows-1250 windows-1251 windows-1252 windows-1253
    windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 cp866 cp874 ibm866 koi8-r koi8-u macintosh
    shift-jis sjis euc-jp iso-2022-jp gb2312 gbk gb18030 big5 big5-hkscs euc-kr ks-c-5601-1987 tis-620
"""
CHARSETS = frozenset(_NAMES.split())


def charset_of(content_type: str) -> str:
    """The charset that a Content-Type names, as Python calls it; `utf-8` for none, or one not in the list."""
    declared = httpx.Response(200, headers=httpx.Headers({"content-type": content_type})).charset_encoding
    name = (declared or "").strip().lower().replace("_", "-")
    return name if name in CHARSETS else "utf-8"
