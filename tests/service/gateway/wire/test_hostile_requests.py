"""What a client may not say: every case gets the contract's error, and the connection closes."""

from __future__ import annotations

import orjson
import pytest

from tests.service.gateway.wire.peers import Door, Service

H = b"Host: a\r\n"
BAD = (400, "BAD_REQUEST")

REQUESTS: dict[str, tuple[bytes, tuple[int, str]]] = {
    # Two ways to delimit a body.
    "length and chunked": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    "chunked and length": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    "two lengths": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        BAD,
    ),
    "two equal lengths": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
        BAD,
    ),
    "list of lengths": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 6, 6\r\n\r\nabcdef", BAD),
    "signed length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +6\r\n\r\nabcdef", BAD),
    "negative length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: -1\r\n\r\n", BAD),
    "hexadecimal length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x6\r\n\r\nabcdef", BAD),
    "empty length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length:\r\n\r\n", BAD),
    "length with a space": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1 1\r\n\r\na", BAD),
    "length too large": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        BAD,
    ),
    "length in other digits": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: \xd9\xa3\r\n\r\nabc",
        BAD,
    ),
    "chunked in 1.0": (
        b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    "gzip, chunked": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    "chunked, identity": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    "identity": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n", BAD),
    "xchunked": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", BAD),
    "quoted chunked": (
        b"POST / HTTP/1.1\r\n" + H + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
        BAD,
    ),
    "chunked twice": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
        BAD,
    ),
    "chunked with vertical tab": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    "empty coding": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding:\r\n\r\n", BAD),
    # Lines.
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", BAD),
    "one bare line feed": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", BAD),
    "bare line feed at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", BAD),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", BAD),
    "folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", BAD),
    "folded first header": (b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", BAD),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD),
    "space in name": (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", BAD),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", BAD),
    "empty name": (b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", BAD),
    "name in brackets": (b"GET / HTTP/1.1\r\nHost: a\r\nX[]: y\r\n\r\n", BAD),
    "name not ASCII": (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n", BAD),
    "underscore in name": (b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n", BAD),
    "NUL in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", BAD),
    "NUL in name": (b"GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", BAD),
    "control byte in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[0m\r\n\r\n", BAD),
    "delete in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", BAD),
    # Host.
    "no host": (b"GET / HTTP/1.1\r\n\r\n", BAD),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    "same host twice": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", BAD),
    "host with user": (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", BAD),
    "host with path": (b"GET / HTTP/1.1\r\nHost: h/p\r\n\r\n", BAD),
    "list of hosts": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BAD),
    "host with space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    "host with bad port": (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", BAD),
    "host with port too large": (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", BAD),
    "host with open bracket": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD),
    # The request line.
    "HTTP/0.9": (b"GET /x\r\n\r\n", BAD),
    "HTTP/0.9, one line": (b"GET /x\r\n", BAD),
    "HTTP/0.9 spelled out": (b"GET / HTTP/0.9\r\n" + H + b"\r\n", BAD),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + H + b"\r\n", BAD),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + H + b"\r\n", BAD),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    "http/1.1": (b"GET / http/1.1\r\n" + H + b"\r\n", BAD),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\n" + H + b"\r\n", BAD),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "tab": (b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "space at the end": (b"GET / HTTP/1.1 \r\n" + H + b"\r\n", BAD),
    "space in front": (b" GET / HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "space in target": (b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "no target": (b"GET HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "lower-case method": (b"get / HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    "two empty lines": (b"\r\n\r\nGET / HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "TRACE": (b"TRACE / HTTP/1.1\r\n" + H + b"\r\n", (405, "METHOD_NOT_ALLOWED")),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", (405, "METHOD_NOT_ALLOWED")),
    "unknown method": (b"BREW / HTTP/1.1\r\n" + H + b"\r\n", (405, "METHOD_NOT_ALLOWED")),
    # The target.
    "asterisk": (b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "authority form": (b"GET a:80 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "absolute form, other host": (b"GET http://b/ HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "absolute form, with user": (b"GET http://u@a/ HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "absolute form, ftp": (b"GET ftp://a/ HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "fragment in query": (b"GET /a?b#c HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "not ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "NUL in target": (b"GET /a\0 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "encoded slash": (b"GET /a%2fb HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "encoded backslash": (b"GET /a%5Cb HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "encoded NUL": (b"GET /a%00 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "backslash": (b"GET /a\\b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "dot segment": (b"GET /a/./b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "double dot segment": (b"GET /a/../b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "double dot at the end": (b"GET /a/.. HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "encoded dots": (b"GET /a/%2e%2e/b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "half encoded dots": (b"GET /a/.%2E/b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "dot segment with a parameter": (b"GET /a/.;x/b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "double dot segment with a parameter": (b"GET /a/..;/b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "empty segment": (b"GET /a//b HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "two slashes in front": (b"GET //a HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "bad percent": (b"GET /a%zz HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "cut percent": (b"GET /a%2 HTTP/1.1\r\n" + H + b"\r\n", BAD),
    "encoded letter": (b"GET /auth/logi%6e HTTP/1.1\r\n" + H + b"\r\n", BAD),
    # Sizes.
    "long target": (
        b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\n" + H + b"\r\n",
        (414, "URI_TOO_LONG"),
    ),
    "endless target": (b"GET /" + b"a" * 20000, (414, "URI_TOO_LONG")),
    "long header": (
        b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * 20000 + b"\r\n\r\n",
        (431, "HEADERS_TOO_LARGE"),
    ),
    "endless header": (
        b"GET / HTTP/1.1\r\n" + H + b"X: " + b"a" * 20000,
        (431, "HEADERS_TOO_LARGE"),
    ),
    "many headers": (
        b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 101 + b"\r\n",
        (431, "HEADERS_TOO_LARGE"),
    ),
    # Expectations and bodies.
    "unknown expectation": (
        b"POST / HTTP/1.1\r\n" + H + b"Expect: 200-maybe\r\nContent-Length: 1\r\n\r\n",
        BAD,
    ),
    "chunk size not a number": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        BAD,
    ),
    "chunk size in C": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        BAD,
    ),
    "signed chunk size": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        BAD,
    ),
    "chunk size overflow": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n",
        BAD,
    ),
    "chunk longer than said": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        BAD,
    ),
    "bare line feed after chunk": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        BAD,
    ),
    "bare line feed after chunk size": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        BAD,
    ),
    "line feed in chunk extension": (
        b"POST / HTTP/1.1\r\n"
        + H
        + b"Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
        BAD,
    ),
    "endless chunk extension": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"a" * 400,
        BAD,
    ),
    "malformed trailer": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n",
        BAD,
    ),
    "endless trailer": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 9000,
        BAD,
    ),
}


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.replace(" ", "-"))
async def test_refused(door: Door, service: Service, case: str) -> None:
    request, expected = REQUESTS[case]
    async with door.client() as client:
        # A second request behind the first one must not be taken for one.
        await client.send(request + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = await client.reply()
        assert (reply.status, reply.code) == expected
        assert reply.closes
        assert await client.is_closed()
    await door.settled()
    assert service.requests == []
    assert [status for _, status, *_ in door.policy.finished] == [expected[0]]
    assert door.policy.outcomes == ["malformed"]


async def test_answer_to_what_was_not_understood_echoes_nothing(door: Door) -> None:
    reply = await door.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX_secret: <script>\r\n\r\n")
    assert b"secret" not in reply.body
    assert b"script" not in reply.body
    assert reply.header(b"date") is not None


@pytest.mark.parametrize(
    "case",
    [
        "TRACE", "HTTP/2.0", "chunked in 1.0", "folded header", "many headers", "long target",
        "no host", "one bare line feed", "length and chunked", "underscore in name",
    ],
    ids=lambda case: case.replace(" ", "-"),
)  # fmt: skip
async def test_refusal_comes_in_the_form_asked_for(door: Door, case: str) -> None:
    request, (status, code) = REQUESTS[case]
    line, end, rest = request.partition(b"\n")
    reply = await door.ask(line + end + b"aCCept: \tapplication/problem+json \r\n" + rest)
    assert reply.header(b"content-type") == b"application/problem+json"
    assert (reply.status, orjson.loads(reply.body)["code"]) == (status, code)


async def test_405_names_the_methods(door: Door) -> None:
    reply = await door.ask(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert reply.header(b"allow") == b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


GOOD: dict[str, tuple[bytes, bytes]] = {
    "plain": (b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a?b=c"),
    "root": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /"),
    "slash at the end": (b"GET /a/ HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a/"),
    "empty line in front": (b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a"),
    "IPv6 host": (b"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b"GET /a"),
    "absolute form": (b"GET http://A:80/a?b HTTP/1.1\r\nHost: a:80\r\n\r\n", b"GET /a?b"),
    "absolute form, no path": (b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /?b"),
    "dots in names": (b"GET /a.b/..c/.d HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a.b/..c/.d"),
    "encoded space": (b"GET /a%20b HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a%20b"),
    "encoded umlaut": (b"GET /%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /%C3%A9"),
    "anything in query": (
        b"GET /a?%2f%00|{}[]\\ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a?%2f%00|{}[]\\",
    ),
    "white space around values": (b"GET /a HTTP/1.1\r\nHost:\t a \t\r\n\r\n", b"GET /a"),
    "bytes of old in values": (b"GET /a HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", b"GET /a"),
    "other methods": (b"PROPFIND /a HTTP/1.1\r\nHost: a\r\n\r\n", b"PROPFIND /a"),
    "HTTP/1.0 without host": (b"GET /a HTTP/1.0\r\n\r\n", b"GET /a"),
    "close": (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"GET /a"),
    "CHUNKED": (
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        b"POST /a",
    ),
    "target as long as allowed": (
        b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 8191,
    ),
    "as many headers as allowed": (
        b"GET /a HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 99 + b"\r\n",
        b"GET /a",
    ),
}


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.replace(" ", "-"))
async def test_taken(door: Door, service: Service, case: str) -> None:
    request, forwarded = GOOD[case]
    reply = await door.ask(request)
    assert reply.status == 200
    (head,) = service.requests
    assert head.startswith(forwarded + b" HTTP/1.1\r\n")


@pytest.mark.parametrize("case", [*REQUESTS, *GOOD], ids=lambda case: case.replace(" ", "-"))
async def test_one_byte_at_a_time_makes_no_difference(door: Door, case: str) -> None:
    request, (status, _) = REQUESTS.get(case) or (GOOD[case][0], (200, ""))
    async with door.client() as client:
        for byte in range(min(len(request), 150)):
            client.writer.write(request[byte : byte + 1])
        await client.send(request[150:])
        reply = await client.reply()
    assert reply.status == status
