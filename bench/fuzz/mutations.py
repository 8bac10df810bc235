"""How the fuzzer changes a request, and how it cuts what it sends."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from random import Random

Mutation = Callable[[bytes, Random, list[bytes]], bytes]

LONGEST = 40_000  # bytes of a request; splices and repetitions stop there

# Bytes and words that parsers disagree about.
_WORDS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"\x0b", b":", b";", b",", b"/", b"//", b"/../",
    b"%", b"%2f", b"%00", b"%2e", b"?", b"#", b"\\", b"\xff", b"\xc3\xa9", b"\x7f", b"0", b"-1",
    b"+1", b"0x", b"18446744073709551616", b"9" * 40, b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2",
    b"\r\n\r\n", b"0\r\n\r\n", b"chunked", b"close", b"keep-alive", b"100-continue", b"Bearer ",
    b"GET /smuggled HTTP/1.1\r\n", b"/api/v1", b"/api/v2", b"/api/", b"/internal/", b'"',
    b"application/problem+json", b"*",
)  # fmt: skip
_FIELDS = (
    b"Content-Length: 0", b"Content-Length: 7", b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding:chunked",
    b"Connection: close", b"Connection: keep-alive", b"Connection: host, content-length",
    b"Expect: 100-continue", b"Host: other", b"Upgrade: websocket", b"Connection: upgrade",
    b"Trailer: Content-Length", b"TE: trailers", b"Accept: application/problem+json",
    b"Accept: application/vnd.tasklane.v2+json", b"Accept: */*;q=nan, ,;;=", b"API-Version: 2",
    b"API-Version: 99999999999", b"Authorization: Bearer a.b.c", b"Authorization: Basic eDp5",
    b"X-API-Key: tl_live_0", b"Cookie: session=1; __Host-session=2", b"Cookie: =;;=; \xff",
    b"X-Forwarded-For: \xff, 1.2.3.4", b"Forwarded: for=\"[::1\"", b"Origin: https://app.example",
    b"Access-Control-Request-Method: PUT", b"X-Request-ID: " + b"x" * 200, b"X-Request-ID: \xe9",
    b"If-None-Match: *", b"Range: bytes=0-", b"X-HTTP-Method-Override: DELETE", b" folded", b"X",
    b"Content-Type: application/json; charset=klingon", b"Content-Encoding: gzip",
)  # fmt: skip
_NUMBER = re.compile(rb"[0-9]+")
_CHUNK_SIZE = re.compile(rb"(?<=\r\n)[0-9a-fA-F]+(?=[;\r])")
_LINE_END = re.compile(rb"\r\n")


def flip_bits(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Turns over one bit, or a few."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Puts any byte in the place of another."""
    changed = bytearray(data)
    if changed:
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def insert_word(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Puts a word in anywhere."""
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(_WORDS) + data[at:]


def inject_field(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Adds a header line at the end of some line."""
    ends = [match.end() for match in _LINE_END.finditer(data)][:40]
    at = chance.choice(ends) if ends else len(data)
    return data[:at] + chance.choice(_FIELDS) + b"\r\n" + data[at:]


def cut_out(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Leaves a part out."""
    begin, end = _span(data, chance)
    return data[:begin] + data[end:]


def truncate(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Leaves the end out."""
    return data[: chance.randint(0, len(data))]


def duplicate(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Says a part twice."""
    begin, end = _span(data, chance)
    return data[:end] + data[begin:end] + data[end:]


def repeat(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Pipelines the request behind itself."""
    return data * chance.randint(2, 4)


def splice(data: bytes, chance: Random, corpus: list[bytes]) -> bytes:
    """The beginning of one request and the end of another."""
    other = chance.choice(corpus)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def follow(data: bytes, chance: Random, corpus: list[bytes]) -> bytes:
    """Pipelines another request behind this one."""
    return data + chance.choice(corpus)


def change_number(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Makes another number of one: a length, a port, a version."""
    return _change(data, chance, _NUMBER, b"%d")


def change_chunk_size(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Makes another size of one of a chunk."""
    return _change(data, chance, _CHUNK_SIZE, b"%x")


def swap_case(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Writes a part in the other case."""
    begin, end = _span(data, chance)
    return data[:begin] + data[begin:end].swapcase() + data[end:]


def swap_lines(data: bytes, chance: Random, _corpus: list[bytes]) -> bytes:
    """Puts two lines in each other's place."""
    lines = data.split(b"\r\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, set_bytes, insert_word, insert_word, inject_field, inject_field, cut_out, truncate,
    duplicate, repeat, splice, follow, change_number, change_chunk_size, swap_case, swap_lines,
)  # fmt: skip


def mutated(data: bytes, chance: Random, corpus: list[bytes]) -> tuple[bytes, list[str]]:
    """`data` after some mutations, and their names."""
    names = []
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        mutation = chance.choice(MUTATIONS)
        data = mutation(data, chance, corpus)[:LONGEST]
        names.append(mutation.__name__)
    return data, names


def pieces(data: bytes, chance: Random) -> list[bytes]:
    """`data` as it is sent: whole, in parts, or (what is short) one byte at a time."""
    way = chance.randrange(8)
    if way < 4:
        return [data]
    if way == 4 and len(data) <= 250:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.choice((1, 1, 2, 5))))
    edges = pairwise([0, *cuts, len(data)])
    return [data[begin:end] for begin, end in edges if begin < end]


def _span(data: bytes, chance: Random) -> tuple[int, int]:
    begin = chance.randint(0, len(data))
    return begin, min(len(data), begin + chance.choice((1, 2, 4, 16, 64, 256)))


def _change(data: bytes, chance: Random, pattern: re.Pattern[bytes], form: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    match = chance.choice(found)
    number = chance.choice((0, 1, 2, 7, 16, 255, 4096, 65_536, 1 << 31, 1 << 63, 1 << 64))
    if chance.random() < 0.3:
        number = max(0, int(match[0][:12], 16) + chance.choice((-1, 1)))
    return data[: match.start()] + form % number + data[match.end() :]
