"""The compression stage: gzip for large JSON and text where a route says so (RFC 9110 section 8.4).

A compressed answer's length tells an attacker who can put text into it what else is in it (BREACH).
For that he has to make a browser send the victim's credentials, which it does with cookies only: so
no answer to a request with a cookie is compressed, whatever the route says.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from weakref import WeakSet

from services.gateway.exchange import Exchange, Headers

LEAST_BYTES = 1024  # a shorter body gains nothing
LEVEL = 4
# Smaller than zlib's own choice: 64 KiB a stream, and 8 KiB back are enough for JSON.
_WINDOW = 16 + 13
_MEMORY_LEVEL = 6
MOST_STREAMS = 256  # at a time; an answer beyond them goes out as it is

_SUFFIX = b'-gzip"'
_JSON_LINES = frozenset({b"application/jsonl", b"application/x-ndjson"})
# A digest is of the bytes that the service has sent.
_UNTOUCHABLE = frozenset(
    {b"content-digest", b"content-encoding", b"content-md5", b"content-range", b"digest"}
)


class GzipStream:
    """Compresses one body piece by piece; what went in has come out when `feed` returns."""

    __slots__ = ("__weakref__", "_deflate")

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY_LEVEL)

    def feed(self, data: bytes, finished: bool) -> bytes:
        """The compressed form of a piece that was read at once, and the end with the last one.

        Nothing waits here for the next piece: a slow answer is no later for being compressed.
        """
        if not data and not finished:
            return b""
        packed = self._deflate.compress(data)
        return packed + self._deflate.flush(zlib.Z_FINISH if finished else zlib.Z_SYNC_FLUSH)


_streams: WeakSet[GzipStream] = WeakSet()


def encoded(
    exchange: Exchange, status: int, headers: Headers, length: int | None
) -> tuple[Headers, GzipStream | None]:
    """The fields of an answer of a route that compresses, and what its body has to go through."""
    if status == 304:
        return _with_known_tag(exchange, headers), None
    long_enough = length is None or length >= LEAST_BYTES
    if status != 200 or not long_enough or not _is_compressible(headers):
        return headers, None
    headers = [*headers, (b"vary", b"Accept-Encoding")]
    if not _is_wanted(exchange) or len(_streams) >= MOST_STREAMS:
        return headers, None
    stream = GzipStream()
    _streams.add(stream)
    kept = [_tagged(field) for field in headers if field[0] != b"accept-ranges"]
    return [*kept, (b"content-encoding", b"gzip")], stream


def without_suffix(exchange: Exchange, headers: Headers) -> Headers:
    """Request fields with entity tags as the service knows them.

    The tag of a compressed answer stands for the same state (If-Match), but validates nothing for
    a client that would not be sent a compressed answer (If-None-Match).
    """
    names = {b"if-match"}
    if _is_wanted(exchange):
        names.add(b"if-none-match")
    return [
        (name, value.replace(_SUFFIX, b'"')) if name in names else (name, value)
        for name, value in headers
    ]


def _is_wanted(exchange: Exchange) -> bool:
    fields = exchange.fields
    if b"accept-encoding" not in fields or b"cookie" in fields:
        return False
    return accepts_gzip(b",".join(exchange.header_values(b"accept-encoding")))


@lru_cache(maxsize=64)
def accepts_gzip(value: bytes) -> bool:
    """Whether Accept-Encoding admits gzip, and prefers nothing to it (RFC 9110 section 12.5.3)."""
    weights: dict[bytes, float] = {}
    for item in value.lower().split(b","):
        coding, _, parameter = item.partition(b";")
        weights[coding.strip()] = _weight(parameter.strip())
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0)))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def _weight(parameter: bytes) -> float:
    """The weight of a coding, 0 to 1; one that is malformed counts as a refusal."""
    if not parameter:
        return 1.0
    name, _, number = parameter.partition(b"=")
    number = number.strip()
    digits = number.replace(b".", b"", 1)
    if name.strip() != b"q" or not digits.isdigit() or len(digits) > 4:
        return 0.0
    return min(float(number), 1.0)


def _is_compressible(headers: Headers) -> bool:
    kind = b""
    for name, value in headers:
        if name in _UNTOUCHABLE or (name == b"cache-control" and b"no-transform" in value.lower()):
            return False
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
    if kind.startswith(b"text/"):
        # An event has to arrive when it happens, and the stream may last for hours.
        return kind != b"text/event-stream"
    return kind == b"application/json" or kind.endswith(b"+json") or kind in _JSON_LINES


def _tagged(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A strong entity tag names bytes, so other bytes have another (RFC 9110 section 8.8.3.3)."""
    name, value = field
    if name == b"etag" and value[:1] == b'"' and value[-1:] == b'"' and len(value) > 1:
        return name, value[:-1] + _SUFFIX
    return field


def _with_known_tag(exchange: Exchange, headers: Headers) -> Headers:
    """The fields of a 304, with the tag that the client has asked about."""
    asked = b",".join(exchange.header_values(b"if-none-match"))
    kept = []
    for field in headers:
        tagged = _tagged(field)
        kept.append(tagged if tagged[1] in asked else field)
    return [*kept, (b"vary", b"Accept-Encoding")]
