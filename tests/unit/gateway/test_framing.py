"""How bodies are delimited, however the bytes are cut on their way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.downstream.frames import Frames
from services.gateway.framing import (
    LAST_CHUNK,
    BadFraming,
    Chunked,
    Counted,
    Decoder,
    UntilClose,
    chunk,
)


def decode(decoder: Decoder, wire: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Feeds `wire` in pieces; the payload and what came after it."""
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    payload = b""
    for start, end in pairwise(edges):
        payload += decoder.feed(wire[start:end])
        if decoder.finished:
            return payload, decoder.rest + wire[end:]
    return payload, b""


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=20), CUTS)
def test_chunks_come_out_as_they_went_in(parts: list[bytes], after: bytes, cuts: list[int]) -> None:
    wire = b"".join(map(chunk, parts)) + LAST_CHUNK + after
    decoder = Chunked()
    assert decode(decoder, wire, cuts) == (b"".join(parts), after)
    assert decoder.finished


@given(st.binary(max_size=60), st.binary(max_size=20), CUTS)
def test_counted_bodies(body: bytes, after: bytes, cuts: list[int]) -> None:
    decoder = Counted(len(body))
    if not body:
        assert decoder.finished
        return
    assert decode(decoder, body + after, cuts) == (body, after)


def test_body_until_close_has_no_end_of_its_own() -> None:
    decoder = UntilClose()
    assert decoder.feed(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert not decoder.finished


@given(st.binary(max_size=80), CUTS)
def test_anything_else_is_refused_the_same_way_however_it_is_cut(
    wire: bytes, cuts: list[int]
) -> None:
    """Refused, or the same payload: never one thing for one reader and another for the next."""

    def outcome(cuts: list[int]) -> object:
        decoder = Chunked()
        try:
            return decode(decoder, wire, cuts), decoder.finished
        except BadFraming:
            return "refused"

    whole, pieces = outcome([]), outcome(cuts)
    if "refused" not in (whole, pieces):
        assert whole == pieces
    elif pieces != "refused":
        # Read whole the fault is seen at once, in pieces when its piece comes.
        assert cuts


GOOD = {
    b"5;name=value\r\nhello\r\n0\r\n\r\n": b"hello",
    b'5 ; name="a b"\r\nhello\r\n0\r\n\r\n': b"hello",
    b"0000000000000005\r\nhello\r\n0\r\n\r\n": b"hello",
    b"A\r\n0123456789\r\n0\r\n\r\n": b"0123456789",
    b"a\r\n0123456789\r\n00\r\n\r\n": b"0123456789",
    b"1\r\nx\r\n0\r\nTrailer: y\r\nOther: z\r\n\r\n": b"x",
    b"0\r\n\r\n": b"",
}


@pytest.mark.parametrize("wire", GOOD)
def test_chunked_that_is_taken(wire: bytes) -> None:
    for cuts in ([], list(range(len(wire)))):
        assert decode(Chunked(), wire, cuts) == (GOOD[wire], b"")


BAD = [
    b"\r\n",
    b"g\r\n",
    b" 5\r\nhello",
    b"5 \nhello",
    b"-5\r\nhello",
    b"5\rhello\r\n",
    b"5\r\nhello0\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n",
    b"00000000000000005\r\nhello",
    b"5;a\x00b\r\nhello",
    b"5x\r\nhello",
    b"5" + b";" * 300,
    b"0\r\n\n",
    b"0\r\n folded\r\n\r\n",
    b"0\r\nNo colon\r\n\r\n",
    b"0\r\nA_b: c\r\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
]


@pytest.mark.parametrize("wire", BAD, ids=repr)
def test_chunked_that_is_refused(wire: bytes) -> None:
    for cuts in ([], list(range(len(wire)))):
        with pytest.raises(BadFraming):
            decode(Chunked(), wire, cuts)


def frame(payload: bytes, masked: bool) -> bytes:
    mask = b"\1\2\3\4" if masked else b""
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        return bytes([0x82, flag | len(payload)]) + mask + payload
    if len(payload) < 1 << 16:
        return bytes([0x82, flag | 126]) + len(payload).to_bytes(2) + mask + payload
    return bytes([0x82, flag | 127]) + len(payload).to_bytes(8) + mask + payload


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 127, 70_000]), st.booleans()), max_size=4),
    CUTS,
)
def test_frames_are_followed_however_they_are_cut(
    sizes: list[tuple[int, bool]], cuts: list[int]
) -> None:
    wire = b"".join(frame(b"x" * size, masked) for size, masked in sizes)
    ends, position = {0}, 0
    for size, masked in sizes:
        position += len(frame(b"x" * size, masked))
        ends.add(position)
    frames = Frames()
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    assert frames.is_between
    for start, end in pairwise(edges):
        frames.feed(wire[start:end])
        assert frames.is_between == (end in ends)
