"""Incremental decoding of an HTTP response's body, with a bound on memory.

A few kilobytes of gzip can decode to gigabytes, and nested codings multiply that. So a request asks for none
(`accept-encoding: identity`); of a response that has one all the same, one coding is decoded, and its ratio is bounded.
The names of codings are those of https://www.iana.org/assignments/http-parameters.
"""

from __future__ import annotations

import zlib

from shared.nodes.node_kinds import NodeError

# The greatest ratio of a body's decoded size to its coded size, and the decoded size up to which it is not checked.
MAX_RATIO = 100
UNWATCHED_BYTES = 65_536
STEP_BYTES = 65_536
_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})


class BodyDecoder:
    """Decodes one body: `take` each chunk as received, then `finish`."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        """`content_encoding` is the header's value, `limit` how many bytes the decoded body may have."""
        self._coding = content_encoding.strip().lower()
        self._limit = limit
        self._body = bytearray()
        self._coded_bytes = 0
        self._inflater: zlib._Decompress | None = None
        self._has_ended = False

    def take(self, chunk: bytes) -> None:
        """Decodes one more chunk. Raises `NodeError`: `limit` for a body that is too large or exceeds `MAX_RATIO`,
        `response` for one that is not valid in its coding, or for a coding that is not supported."""
        self._coded_bytes += len(chunk)
        if self._coding in _PLAIN:
            self._add(chunk)
        elif self._coding in _GZIP or self._coding == "deflate":
            self._inflate(chunk)
        elif chunk:
            raise NodeError("response", f"The answer has the content coding {self._coding[:100]!r}; {_KNOWN}")

    def finish(self) -> bytes:
        """The whole body. One that is truncated raises `NodeError`, `response`."""
        if self._inflater is not None and not self._has_ended:
            raise NodeError("response", f"The answer ends amid its content coding {self._coding!r}.")
        return bytes(self._body)

    def _inflate(self, chunk: bytes) -> None:
        while chunk:
            if self._inflater is None or self._has_ended:
                if self._inflater is not None and self._coding not in _GZIP:
                    return  # bytes after the end of a deflated body are ignored
                # gzip may be several members, one after the other (RFC 1952 §2.2).
                self._inflater, self._has_ended = self._new_inflater(chunk), False
            try:
                # In steps, so that a limit is noticed before the rest is inflated.
                self._add(self._inflater.decompress(chunk, STEP_BYTES))
            except zlib.error as error:
                raise NodeError("response", f"The answer is not {self._coding}: {error}") from error
            self._has_ended = self._inflater.eof
            chunk = self._inflater.unused_data if self._has_ended else self._inflater.unconsumed_tail

    def _new_inflater(self, start: bytes) -> zlib._Decompress:
        if self._coding in _GZIP:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        # Some servers send deflate without the frame of zlib that RFC 9110 §8.4.1.2 asks for.
        return zlib.decompressobj(zlib.MAX_WBITS if start[0] & 0x0F == 8 else -zlib.MAX_WBITS)

    def _add(self, decoded: bytes) -> None:
        size = len(self._body) + len(decoded)
        if size > self._limit:
            raise NodeError("limit", f"The answer is larger than max_response_bytes, {self._limit} bytes.")
        if size > max(UNWATCHED_BYTES, MAX_RATIO * self._coded_bytes):
            raise NodeError("limit", f"The answer is more than {MAX_RATIO} times as large as what was sent.")
        self._body += decoded


_KNOWN = "gzip or deflate, one alone, can be read."
