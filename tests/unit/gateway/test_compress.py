"""Accept-Encoding as it is understood, and bodies that come out piece by piece."""

from __future__ import annotations

import zlib

import pytest

from services.gateway import compress
from services.gateway.compress import GzipStream, accepts_gzip
from tests.unit.gateway.exchanges import exchange


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000, *", False),
        (b"gzip;q=x", False),
        (b"gzip;q=-1", False),
        (b"gzip;p=1", False),
        (b"gzip;q=.", False),
        (b"identity, gzip;q=0.5", False),
        (b"gzipped", False),
        (b"gzip", True),
        (b"GZIP ; Q=0.2", True),
        (b"deflate, gzip;q=1.000, *;q=0", True),
        (b"*", True),
        (b"identity;q=0.5, *;q=0.6", True),
    ],
)
def test_weights_are_heeded(value: bytes, accepted: bool) -> None:
    assert accepts_gzip(value) is accepted


def test_nothing_is_held_back() -> None:
    stream, inflate = GzipStream(), zlib.decompressobj(31)
    assert stream.feed(b"", False) == b""
    for piece in (b"a", b"b" * 100_000, b"c"):
        assert inflate.decompress(stream.feed(piece, False)) == piece
    assert inflate.decompress(stream.feed(b"", True)) == b""
    assert inflate.eof


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
