"""Content codings are taken off without more memory than the answer may have."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.nodes.content_decoding import BodyDecoder
from shared.nodes.node_kinds import NodeError

LIMIT = 1_048_576


def decoded(coding: str, *chunks: bytes, limit: int = LIMIT) -> bytes:
    """The body that came in these chunks."""
    decoder = BodyDecoder(coding, limit)
    for chunk in chunks:
        decoder.take(chunk)
    return decoder.finish()


def refused(coding: str, *chunks: bytes, limit: int = LIMIT) -> NodeError:
    """Why a body cannot be read."""
    with pytest.raises(NodeError) as error:
        decoded(coding, *chunks, limit=limit)
    return error.value


def raw_deflate(content: bytes) -> bytes:
    """Deflate without a frame."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@given(content=st.binary(max_size=2_000), step=st.integers(1, 50))
def test_whatever_was_coded_is_read(content: bytes, step: int) -> None:
    """gzip in one or in several members, deflate with and without its frame, and no coding, in chunks of any size."""
    coded = {
        "": content,
        "identity": content,
        "GZIP": gzip.compress(content),
        "x-gzip": gzip.compress(content[:5]) + gzip.compress(content[5:]),
        "deflate": zlib.compress(content),
        " deflate": raw_deflate(content),
    }
    for coding, body in coded.items():
        chunks = [body[start : start + step] for start in range(0, len(body), step)]
        assert decoded(coding, *chunks) == content


def test_body_that_grows_beyond_its_limit_costs_no_more_than_that() -> None:
    """64 MiB of zeros in one chunk of 64 KB: what is read before it is refused is no more than the limit allows."""
    bomb = gzip.compress(bytes(64 * 1_048_576))
    tracemalloc.start()
    try:
        error = refused("gzip", bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.code == "limit"
    assert peak < 4 * LIMIT


def test_growth_beyond_a_hundredfold_is_refused_below_the_limit() -> None:
    """The ratio counts as well as the size; a small body may be as even as it likes."""
    assert refused("gzip", gzip.compress(bytes(900_000))).code == "limit"
    assert decoded("gzip", gzip.compress(bytes(60_000))) == bytes(60_000)


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,deflate", "br", "zstd", "rot13"])
def test_coding_that_is_not_known_or_not_alone_is_refused(coding: str) -> None:
    """Each coding more could multiply what the one below it did."""
    assert refused(coding, b"x").code == "response"
    assert decoded(coding) == b""  # the answer to HEAD


@pytest.mark.parametrize(
    ("coding", "body"), [("gzip", b"plain"), ("deflate", b"plain"), ("gzip", gzip.compress(b"whole", mtime=0)[:-9])]
)
def test_body_that_its_coding_does_not_fit_is_refused(coding: str, body: bytes) -> None:
    """Bytes that are no gzip, and gzip that is cut off."""
    assert refused(coding, body).code == "response"


def test_body_in_many_small_chunks_is_kept_as_one() -> None:
    """A server that sends two bytes at a time costs no object for each."""
    decoder = BodyDecoder("", LIMIT)
    tracemalloc.start()
    try:
        for number in range(50_000):
            decoder.take(number.to_bytes(2, "big"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(decoder.finish()) == 100_000
    assert peak < 1_000_000
