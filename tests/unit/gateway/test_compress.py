"""Accept-Encoding as it is understood, and bodies that come out piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import brotli
import pytest

from services.gateway import compress
from services.gateway.compress import BR, GZIP, BrotliStream, Encoder, GzipStream, preferred
from tests.unit.gateway.exchanges import exchange


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (b"", None),
        (b"br;q=0", None),
        (b"br;q=0.2, identity", None),
        (b"brotli", None),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000, *", None),
        (b"gzip;q=x", None),
        (b"gzip;q=-1", None),
        (b"gzip;p=1", None),
        (b"gzip;q=.", None),
        (b"identity, gzip;q=0.5", None),
        (b"gzipped", None),
        (b"gzip", GZIP),
        (b"br", BR),
        (b"gzip, deflate, br, zstd", BR),
        (b"br;q=0.9, gzip", GZIP),
        (b"gzip;q=0.5, br;q=0.8", BR),
        (b"br;q=0, gzip", GZIP),
        (b"br;q=x, gzip;q=0.1", GZIP),
        (b"br;q=0.5, *", GZIP),
        (b"GZIP ; Q=0.2", GZIP),
        (b"deflate, gzip;q=1.000, *;q=0", GZIP),
        (b"*", GZIP),
        (b"identity;q=0.5, *;q=0.6", GZIP),
    ],
)
def test_weights_are_heeded(value: bytes, coding: bytes | None) -> None:
    assert preferred(value) == coding


def unpacked_br(pieces: list[bytes]) -> list[bytes]:
    unpacker = brotli.Decompressor()
    # It may keep a rest until it is asked again.
    return [unpacker.process(piece) + unpacker.process(b"") for piece in pieces]


def unpacked_gzip(pieces: list[bytes]) -> list[bytes]:
    unpacker = zlib.decompressobj(31)
    return [unpacker.decompress(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("stream", "unpacked"), [(BrotliStream, unpacked_br), (GzipStream, unpacked_gzip)]
)
def test_nothing_is_held_back(
    stream: type[Encoder], unpacked: Callable[[list[bytes]], list[bytes]]
) -> None:
    encoder = stream()
    assert encoder.feed(b"", False) == b""
    pieces = [b"a", b"b" * 100_000, b"c"]
    packed = [encoder.feed(piece, False) for piece in pieces]
    assert unpacked([*packed, encoder.feed(b"", True)]) == [*pieces, b""]


def test_br_gives_way_to_gzip_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "MOST_BROTLI_STREAMS", len(compress._brotli_streams) + 1)
    request = exchange(accept_encoding="gzip, br")
    headers = [(b"content-type", b"application/json"), (b"etag", b'"s"')]
    first, kept = compress.encoded(request, 200, headers, None)
    second, other = compress.encoded(request, 200, headers, None)
    assert isinstance(kept, BrotliStream)
    assert isinstance(other, GzipStream)
    assert {(b"content-encoding", b"br"), (b"etag", b'"s-br"')} <= set(first)
    assert {(b"content-encoding", b"gzip"), (b"etag", b'"s-gzip"')} <= set(second)


def test_streams_at_a_time_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "MOST_STREAMS", len(compress._streams) + 1)
    request = exchange(accept_encoding="gzip")
    headers = [(b"content-type", b"application/json")]
    _, first = compress.encoded(request, 200, headers, None)
    kept, second = compress.encoded(request, 200, headers, None)
    assert first is not None
    assert second is None
    assert (b"content-encoding", b"gzip") not in kept
    assert (b"vary", b"Accept-Encoding") in kept
