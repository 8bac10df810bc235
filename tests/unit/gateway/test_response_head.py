"""Reading the head of a service's answer: the same whether or not its like was seen before."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.framing import BadFraming
from services.gateway.upstream.head import HeadReader, ResponseHead

HEAD = b"HTTP/1.1 200 OK\r\nX-Request-ID: %b\r\nETag: %b\r\nContent-Length: 2"
DATE = b"Date: Sat, 21 Nov 2026 20:07:25 GMT"
PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"\r\n", b"\r", b"\n", b"X-Request-ID: ", b"ab12",
        b"X-Request-ID: c3", b"x-request-id: d4", b"Date: ", DATE, b"\r\n" + DATE, DATE[:-1],
        b"a b", b"\0", b"ETag: x", b"Content-Length: 7", b"Transfer-Encoding: chunked",
        b"Connection: close", b":", b"",
    ]
)  # fmt: skip


def outcome(reader: HeadReader, head: bytes) -> ResponseHead | None:
    """What is read, but for the id that nobody relays; None for what is no head."""
    try:
        found = reader.read(head)
    except BadFraming:
        return None
    headers = [field for field in found.headers if field[0] != b"x-request-id"]
    return ResponseHead(
        found.status, headers, found.http_1_1, found.keep_alive, found.length, found.chunked
    )


def test_answers_that_differ_in_their_id_have_one_head() -> None:
    reader = HeadReader()
    first = reader.read(HEAD % (b"a" * 32, b"x"))
    assert reader.read(HEAD % (b"b" * 32, b"x")) is first
    assert reader.read(HEAD % (b"a" * 32, b"y")) is not first
    # Not only the last one is known.
    assert reader.read(HEAD % (b"c" * 32, b"x")) is first
    dated = HEAD.replace(b"ETag", DATE + b"\r\nETag")
    assert reader.read(dated % (b"d", b"x")) is first
    assert reader.read(dated.replace(b":25", b":26") % (b"e", b"x")) is first
    last = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-ID: "
    assert reader.read(last + b"1") is reader.read(last + b"2")


@pytest.mark.parametrize("byte", [b"\0", b"\r", b"\n", b"\x7f"])
def test_a_date_excuses_nothing(byte: bytes) -> None:
    line = DATE.replace(b"2026", b"202" + byte)
    with pytest.raises(BadFraming):
        HeadReader().read(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nETag: x")


@pytest.mark.parametrize("value", [b"a\0b", b"a\rb", b"a\nb", b"a\x7f"])
def test_an_id_excuses_nothing(value: bytes) -> None:
    with pytest.raises(BadFraming):
        HeadReader().read(HEAD % (value, b"x"))


def test_what_is_remembered_is_bounded() -> None:
    reader = HeadReader()
    for number in range(3_000):
        reader.read(HEAD % (b"a", b"%d" % number))
    reader.read(HEAD % (b"a", b"x" * 4_096))
    reader.read(HEAD.replace(b"ETag", b"Set-Cookie") % (b"a", b"secret"))
    assert 1_500 < len(reader._heads) <= 2_048
    assert max(map(len, reader._heads)) < 100
    assert not any(b"secret" in head for head in reader._heads)


@given(st.lists(st.lists(PIECES, max_size=8).map(b"".join), min_size=2, max_size=4))
@example([HEAD % (b"a", b"x"), HEAD % (b"b c", b"x"), HEAD % (b"", b"x")])
@example([b"X-Request-ID: a\r\nHTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nX-Request-ID: "])
@example([b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n b", b"HTTP/1.1 200 OK\r\n" + DATE])
@example([b"HTTP/1.1 200 OK\r\nX-Request-ID: a\r\n b", b"HTTP/1.1 200 OK\r\n b"])
def test_what_was_read_before_changes_nothing(heads: list[bytes]) -> None:
    reader = HeadReader()
    for head in heads * 2:
        assert outcome(reader, head) == outcome(HeadReader(), head)
