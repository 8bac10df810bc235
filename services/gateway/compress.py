"""The compression stage: br or gzip for large JSON and text where a route says so.

RFC 9110 section 8.4, RFC 7932.

A compressed answer's length tells an attacker who can put text into it what else is in it (BREACH).
For that he has to make a browser send the victim's credentials, which it does with cookies only: so
no answer to a request with a cookie is compressed, whatever the route says.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol
from weakref import WeakSet

import brotli

from services.gateway.exchange import Exchange, Headers

LEAST_BYTES = 1024  # a shorter body gains nothing
# Measured on lists of tasks: br of quality 4 takes what gzip of level 4 does, or less, for a
# seventh fewer bytes; one of quality 5 takes twice as much.
LEVEL = 4
QUALITY = 4
_BROTLI_WINDOW = 16  # the power of two of bytes; a larger one gains nothing for JSON
# Smaller than zlib's own choice: 64 KiB a stream, and 8 KiB back are enough for JSON.
_WINDOW = 16 + 13
_MEMORY_LEVEL = 6
# At a time. Beyond the first, br gives way to gzip: a stream of it holds 0.6 MiB. Beyond the
# second, an answer goes out as it is.
MOST_BROTLI_STREAMS = 32
MOST_STREAMS = 256

BR, GZIP = b"br", b"gzip"
_SUFFIXES = {BR: b'-br"', GZIP: b'-gzip"'}
_JSON_LINES = frozenset({b"application/jsonl", b"application/x-ndjson"})
# A digest is of the bytes that the service has sent.
_UNTOUCHABLE = frozenset(
    {b"content-digest", b"content-encoding", b"content-md5", b"content-range", b"digest"}
)


class Encoder(Protocol):
    """Compresses one body piece by piece; what went in has come out when `feed` returns."""

    def feed(self, data: bytes, finished: bool) -> bytes:
        """The compressed form of a piece that was read at once, and the end with the last one."""


class BrotliStream:
    """An Encoder for br."""

    __slots__ = ("__weakref__", "_compressor")

    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=QUALITY, lgwin=_BROTLI_WINDOW)

    def feed(self, data: bytes, finished: bool) -> bytes:
        """As an Encoder does."""
        if not data and not finished:
            return b""
        packed: bytes = self._compressor.process(data)
        end: bytes = self._compressor.finish() if finished else self._compressor.flush()
        return packed + end


class GzipStream:
    """An Encoder for gzip."""

    __slots__ = ("__weakref__", "_deflate")

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY_LEVEL)

    def feed(self, data: bytes, finished: bool) -> bytes:
        """As an Encoder does."""
        if not data and not finished:
            return b""
        packed = self._deflate.compress(data)
        return packed + self._deflate.flush(zlib.Z_FINISH if finished else zlib.Z_SYNC_FLUSH)


_streams: WeakSet[BrotliStream | GzipStream] = WeakSet()
_brotli_streams: WeakSet[BrotliStream] = WeakSet()


def encoded(
    exchange: Exchange, status: int, headers: Headers, length: int | None
) -> tuple[Headers, Encoder | None]:
    """The fields of an answer of a route that compresses, and what its body has to go through."""
    if status == 304:
        return _with_known_tag(exchange, headers), None
    long_enough = length is None or length >= LEAST_BYTES
    if status != 200 or not long_enough or not _is_compressible(headers):
        return headers, None
    headers = [*headers, (b"vary", b"Accept-Encoding")]
    coding = _wanted(exchange, brotli_too=len(_brotli_streams) < MOST_BROTLI_STREAMS)
    if coding is None or len(_streams) >= MOST_STREAMS:
        return headers, None
    stream: BrotliStream | GzipStream
    if coding == BR:
        stream = BrotliStream()
        _brotli_streams.add(stream)
    else:
        stream = GzipStream()
    _streams.add(stream)
    kept = [_tagged(field, coding) for field in headers if field[0] != b"accept-ranges"]
    return [*kept, (b"content-encoding", coding)], stream


def without_suffix(exchange: Exchange, headers: Headers) -> Headers:
    """Request fields with entity tags as the service knows them.

    The tag of a compressed answer stands for the same state (If-Match), but validates nothing for
    a client that would not be sent a compressed answer (If-None-Match).
    """
    coding = _wanted(exchange)
    return [
        (name, _untagged(value, _SUFFIXES if name == b"if-match" else (coding,)))
        if name in (b"if-match", b"if-none-match")
        else (name, value)
        for name, value in headers
    ]


def _untagged(tags: bytes, codings: Iterable[bytes | None]) -> bytes:
    for coding in codings:
        if coding is not None:
            tags = tags.replace(_SUFFIXES[coding], b'"')
    return tags


def _wanted(exchange: Exchange, *, brotli_too: bool = True) -> bytes | None:
    fields = exchange.fields
    if b"accept-encoding" not in fields or b"cookie" in fields:
        return None
    accepted = b",".join(exchange.header_values(b"accept-encoding"))
    return preferred(accepted, brotli_too)


@lru_cache(maxsize=128)
def preferred(value: bytes, brotli_too: bool = True) -> bytes | None:
    """The coding that Accept-Encoding admits and likes best (RFC 9110 section 12.5.3), if any.

    Of equals br, where its name is there: "*" may come from a client that has never heard of it.
    """
    weights: dict[bytes, float] = {}
    for item in value.lower().split(b","):
        coding, _, parameter = item.partition(b";")
        weights[coding.strip()] = _weight(parameter.strip())
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0)))
    br = weights.get(b"br", 0.0) if brotli_too else 0.0
    best = max(br, gzip)
    if not best or best < weights.get(b"identity", 0.0):
        return None
    return BR if br == best else GZIP


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


def _tagged(field: tuple[bytes, bytes], coding: bytes) -> tuple[bytes, bytes]:
    """A strong entity tag names bytes, so other bytes have another (RFC 9110 section 8.8.3.3)."""
    name, value = field
    if name == b"etag" and value[:1] == b'"' and value[-1:] == b'"' and len(value) > 1:
        return name, value[:-1] + _SUFFIXES[coding]
    return field


def _with_known_tag(exchange: Exchange, headers: Headers) -> Headers:
    """The fields of a 304, with the tag that the client has asked about."""
    asked = b",".join(exchange.header_values(b"if-none-match"))
    kept = []
    for field in headers:
        known = [tag for tag in (_tagged(field, coding) for coding in _SUFFIXES) if tag[1] in asked]
        kept.append(known[0] if known else field)
    return [*kept, (b"vary", b"Accept-Encoding")]
