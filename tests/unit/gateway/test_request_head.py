"""Reading a request's head: strict, and the same whether or not it was seen before."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.downstream.grammar import diagnose, hopeless
from services.gateway.downstream.head import NO_FIELDS, BadHead, Fields, RequestHead
from services.gateway.downstream.head_reader import HeadReader
from services.gateway.downstream.limits import ServerLimits
from services.gateway.downstream.target import is_authority, split_target
from shared.errors import ApiError, BadRequest

PLAIN = b"GET /a/b?c HTTP/1.1\r\nHost: a\r\nAccept: x\r\n\r\n"


def reader() -> HeadReader:
    """One that knows nothing yet."""
    return HeadReader(ServerLimits())


def read(head: bytes, known: Fields = NO_FIELDS) -> RequestHead | str:
    """The head, or why it is refused; as read by who has read `known`."""
    return read_by(known.reader or reader(), head, known)


def read_by(one: HeadReader, head: bytes, known: Fields) -> RequestHead | str:
    """The head, or why it is refused."""
    try:
        return one.read(head, known)
    except BadHead as bad:
        return f"{bad.error.status} {bad.error.text}"


def test_plain() -> None:
    head = reader().read(
        b"GET /a/b?c=d HTTP/1.1\r\nHost: a\r\nX-Y:  1 \t\r\nX-y: 2\r\nE:\r\n\r\n", NO_FIELDS
    )
    assert (head.method, head.path, head.query) == ("GET", "/a/b", "c=d")
    assert head.fields.headers == [(b"host", b"a"), (b"x-y", b"1"), (b"x-y", b"2"), (b"e", b"")]
    assert head.fields.first == {b"host": b"a", b"x-y": b"1", b"e": b""}
    assert (head.http_1_1, head.keep_alive, head.has_body) == (True, True, False)


def test_same_fields_are_not_read_twice() -> None:
    one = reader()
    first = one.read(PLAIN, NO_FIELDS)
    again = one.read(PLAIN.replace(b"/a/b?c", b"/d"), first.fields)
    assert again.fields is first.fields
    assert again.path == "/d"
    other = one.read(PLAIN.replace(b"Accept", b"Except"), first.fields)
    assert other.fields is not first.fields
    elsewhere = one.read(PLAIN, NO_FIELDS)
    assert elsewhere.fields is first.fields


def test_fields_have_a_family_from_the_second_time_on() -> None:
    """Most of what a client sends only once is not worth remembering."""
    one = reader()
    assert one.read(PLAIN, NO_FIELDS).fields.family is None
    family = one.read(PLAIN, NO_FIELDS).fields.family
    assert family is not None
    assert one.read(PLAIN, NO_FIELDS).fields.family is family


def test_clients_cannot_make_a_reader_remember_ever_more() -> None:
    one = reader()
    for number in range(3_000):
        one.read(PLAIN.replace(b"Accept", b"X-%d" % number), NO_FIELDS)
    one.read(PLAIN.replace(b": x", b": " + b"x" * 3_000), NO_FIELDS)
    assert 700 < len(one._blocks) <= 1_024
    assert max(map(len, one._blocks)) <= 2_048


def test_a_head_is_known_among_others_and_on_every_connection() -> None:
    one = reader()
    other = PLAIN.replace(b"Accept: x", b"Accept: y")
    for _ in range(2):
        known = one.read(PLAIN, NO_FIELDS)
        between = one.read(other, known.fields)
    repeats = [known.repeat]
    assert one.read(PLAIN, between.fields) is known
    repeats.append(known.repeat)
    assert one.read(PLAIN, NO_FIELDS) is one.again(PLAIN, known.fields) is known
    assert repeats[0] is None
    assert repeats[1] is not None
    assert reader().read(PLAIN, between.fields) is not known


def test_clients_cannot_make_a_reader_remember_ever_more_heads() -> None:
    one = reader()
    for number in range(5_000):
        one.read(PLAIN.replace(b"/a/b", b"/%d" % number), NO_FIELDS)
    one.read(PLAIN.replace(b"/a/b", b"/" + b"b" * 300), NO_FIELDS)
    assert 3_000 < len(one._heads) <= 4_096
    assert all(len(line) < 300 for line, _, _ in one._heads)


def test_a_head_is_not_let_pass_for_its_fields_when_it_is_too_long() -> None:
    one = HeadReader(ServerLimits(max_header_bytes=90, max_target_bytes=60))
    first = one.read(PLAIN, NO_FIELDS)
    block = PLAIN[PLAIN.index(b"\r\n") :]
    for path in (b"/" + b"a" * 70, b"/" + b"a" * 55):
        assert one.again(b"GET %b HTTP/1.1%b" % (path, block), first.fields) is None
    assert one.again(b"GET /short HTTP/1.1" + block, first.fields) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"GET /a HTTP/1.0",
        b"BREW /a HTTP/1.1",
        b"TRACE /a HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"get /a HTTP/1.1",
        b"GET http://b/ HTTP/1.1",
        b"GET http://A/x HTTP/1.1",
        b"GET /a/../b HTTP/1.1",
        b"GET /a HTTP/1.2",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    ],
)
def test_known_fields_excuse_nothing_in_the_request_line(line: bytes) -> None:
    known = reader().read(PLAIN, NO_FIELDS).fields
    head = line + PLAIN[PLAIN.index(b"\r\n") :]
    assert read(head, known) == read(head)


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length: 3\r\nConnection: keep-alive",
        b"CONTENT-LENGTH: 3",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Expect: 100-continue",
        b"Host: b",
        b"Upgrade: websocket\r\nConnection: upgrade",
    ],
)
def test_fields_about_the_message_are_never_remembered(field: bytes) -> None:
    outcome = read(PLAIN[:-2] + field + b"\r\n\r\n")
    assert isinstance(outcome, str) or outcome.fields.block == b""


POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nX: y\r\n\r\n"


def test_fields_hold_for_bodies_of_any_length() -> None:
    one = reader()
    first = one.read(POST % b"3", NO_FIELDS)
    assert first.content_length == 3
    assert first.fields.headers == [(b"host", b"a"), (b"x", b"y")]
    again = one.read(POST % b"1234", first.fields)
    assert again.fields is first.fields
    assert (again.content_length, again.method, again.path) == (1234, "POST", "/a")
    other = one.read(POST.replace(b"/a", b"/b") % b"5", first.fields)
    assert (other.content_length, other.path, other.repeat) == (5, "/b", None)
    repeated = one.read(POST % b"7", first.fields)
    assert repeated.content_length == 7
    assert repeated.repeat is not None
    assert one.read(POST % b"8", first.fields).repeat is repeated.repeat
    assert one.again(POST % b"7", first.fields) is None


def test_other_connections_know_fields_with_a_body_too() -> None:
    one = reader()
    first = one.read(POST % b"3", NO_FIELDS)
    other = one.read(POST % b"12", NO_FIELDS)
    assert other.fields is first.fields
    assert (other.content_length, other.repeat) == (12, None)
    repeated = one.read(POST % b"5", other.fields)
    assert (repeated.content_length, repeated.repeat is None) == (5, False)
    plain = one.read(PLAIN, other.fields)
    assert (plain.content_length, plain.fields.rest) == (None, b"")
    for number in range(2_000):
        one.read(POST.replace(b"X: y", b"X: %d" % number) % b"3", NO_FIELDS)
    assert 700 < len(one._counted_blocks) <= 1_024


@pytest.mark.parametrize(
    "length",
    [
        b"", b" ", b"+3", b"-3", b"3 ", b"3,3", b"0x3", b"\xb2", b"3\r\nContent-Length: 3",
        b"3\r\nTransfer-Encoding: chunked", b"3\r\nConnection: close", b"9" * 18, b"9" * 19,
        b"3\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3",
    ],
)  # fmt: skip
def test_a_length_is_judged_the_same_when_the_rest_is_known(length: bytes) -> None:
    known = reader().read(POST % b"3", NO_FIELDS).fields
    assert read(POST % length, known) == read(POST % length)
    # By another connection, after one of another kind.
    other = Fields([], {}, reader=known.reader)
    assert read(POST % length, other) == read(POST % length)


PIECES = st.sampled_from(
    [
        b"GET", b"POST", b" ", b"/", b"a", b"..", b"%2e", b"%41", b"?", b"#", b"\\", b"*",
        b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"\t", b":", b": ", b"Host", b"Host: a",
        b"Content-Length", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection",
        b"Connection: close", b"Upgrade: websocket", b"X_y: z", b"X: y", b"\0", b"\x7f", b"\xe9",
        b"http://a/", b"chunked", b"3", b",", b";", b"_",
    ]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good head with a few pieces put in, taken out or doubled."""
    head = bytearray(
        b"POST /a/b?c=d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Name: value\r\n\r\n"
    )
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(head)))
        end = min(len(head), start + draw(st.integers(0, 8)))
        head[start:end] = draw(st.one_of(PIECES, st.binary(max_size=3)))
    return bytes(head)


@given(mutated())
@example(b"\r\n\r\n")
@example(b"")
def test_whatever_comes_is_read_strictly_or_refused(head: bytes) -> None:
    outcome = read(head)
    if isinstance(outcome, str):
        assert outcome.startswith("4")
        return
    # What is taken follows the letter of RFC 9112, line by line.
    first, *lines = head.split(b"\r\n")
    assert re.fullmatch(rb"[A-Z-]+ [\x21-\x7e]+ HTTP/1\.[01]", first)
    assert lines[-2:] == [b"", b""]
    headers = list(outcome.fields.headers)
    if outcome.fields.rest:
        # The length is left out of them, as they hold for any.
        at = next(at for at, one in enumerate(lines) if one.lower().startswith(b"content-length:"))
        headers.insert(at, (b"content-length", str(outcome.content_length).encode()))
        lines[at] = b"content-length: %d" % int(lines[at].partition(b":")[2])
    assert len(lines) - 2 == len(headers)
    for line, (name, value) in zip(lines, headers, strict=False):
        assert line[: len(name) + 1].lower() == name + b":"
        assert line[len(name) + 1 :].strip(b" \t") == value
        assert re.fullmatch(rb"[a-z0-9!#$%&'*+.^`|~-]+", name)
        assert re.fullmatch(rb"[\t\x20-\x7e\x80-\xff]*", value)
    names = [name for name, _ in headers]
    lengths = names.count(b"content-length")
    assert lengths <= 1
    assert outcome.chunked == (b"transfer-encoding" in names)
    assert not (outcome.chunked and lengths)
    assert names.count(b"host") == 1 or not outcome.http_1_1
    assert outcome.path.startswith("/")
    assert not re.search(r"//|/\.{1,2}(/|$)|%2[eEfF]|%5[cC]|%00|\\|#", outcome.path)


@given(mutated(), mutated())
def test_what_was_known_changes_nothing(before: bytes, head: bytes) -> None:
    earlier = read(before)
    known = NO_FIELDS if isinstance(earlier, str) else earlier.fields
    again, alone = read(head, known), read(head)
    if isinstance(alone, str):
        # Of several faults either may be named.
        assert isinstance(again, str)
        assert again[:3] == alone[:3]
    else:
        assert again == alone


@given(st.lists(PIECES, max_size=6).map(b"".join), st.booleans())
@example(b"GET /d?e HTTP/1.1", True)
@example(b"GET /d HTTP/1.1\r\nX: y", True)
@example(b"\r\nGET /d HTTP/1.1", True)
@example(b"", True)
def test_a_request_line_means_the_same_before_known_fields(line: bytes, whole: bool) -> None:
    one = reader()
    fields = one.read(PLAIN, NO_FIELDS).fields
    head = (line if whole else b"GET /" + line + b" HTTP/1.1") + PLAIN[PLAIN.index(b"\r\n") :]
    for _ in range(3):
        again = one.again(head, fields)
        assert again is None or again == read(head)
    for known in (NO_FIELDS, fields, NO_FIELDS, fields):
        assert read_by(one, head, known) == read(head)


@given(st.binary(max_size=200))
def test_beginnings_are_judged_without_failing(beginning: bytes) -> None:
    assert isinstance(diagnose(beginning, 100), ApiError)
    hopeless(beginning, 100, 150)


@given(st.text("/.%25eEfFcC0aA~;:@!$&'()*+,= _-", max_size=24))
def test_path_means_one_thing_only(path: str) -> None:
    """What is taken reads the same decoded or not, as far as segments and letters go."""
    try:
        taken, _ = split_target(("/" + path).encode(), b"a")
    except BadRequest:
        return
    decoded = re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), taken)
    assert decoded.count("/") == taken.count("/")
    assert ".." not in decoded.split("/")
    assert "." not in decoded.split("/")
    assert re.findall(r"[A-Za-z0-9._~-]", decoded) == re.findall(
        r"[A-Za-z0-9._~-]", re.sub(r"%..", "", taken)
    )


@pytest.mark.parametrize("value", [b"a", b"a.b-c:80", b"127.0.0.1:8080", b"[::1]", b"[::1]:65535"])
def test_authority(value: bytes) -> None:
    assert is_authority(value)


@pytest.mark.parametrize(
    "value", [b"", b":80", b"a:", b"a:99999", b"a b", b"a/b", b"u@a", b"[", b"[]", b"a,b", b"a\0"]
)
def test_no_authority(value: bytes) -> None:
    assert not is_authority(value)
