"""The raw requests that the fuzzer begins with: good ones, and every kind that must be refused.

Each comes with the statuses of its answers when nobody has touched it. TOKEN stands for a good
access token. What tries to get a second request past the gateway asks for /smuggled.
"""

from __future__ import annotations

TOKEN = b"@TOKEN@"

_HOST = b"Host: gateway.example\r\n"
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + _HOST + b"\r\n"
_BEARER = b"Authorization: Bearer " + TOKEN + b"\r\n"

Seed = tuple[bytes, tuple[int, ...]]


def _get(target: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return method + b" " + target + b" HTTP/1.1\r\n" + _HOST + lines + b"\r\n"


def _post(fields: bytes, body: bytes = b"", target: bytes = b"/api/v2/echo") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + _HOST + fields + b"\r\n" + body


_CHUNKED = b"Transfer-Encoding: chunked\r\n"

GOOD: dict[str, Seed] = {
    "get": (_get(b"/api/v2/echo?a=1&b=%20"), (200,)),
    "head": (_get(b"/api/v1/echo", method=b"HEAD"), (200,)),
    "options": (_get(b"/api/v1/echo", method=b"OPTIONS"), (200,)),
    "preflight": (
        _get(
            b"/api/v1/echo",
            b"Origin: https://app.example",
            b"Access-Control-Request-Method: PUT",
            method=b"OPTIONS",
        ),
        (204,),
    ),
    "problem json": (_get(b"/api/v2/nothing", b"Accept: application/problem+json"), (404,)),
    "identity": (_get(b"/api/v2/tasks", _BEARER[:-2]), (200,)),
    "no identity": (_get(b"/api/v2/tasks"), (401,)),
    "bad token": (_get(b"/api/v2/tasks", b"Authorization: Bearer e30.e30.e30"), (401,)),
    "api key": (_get(b"/api/v2/tasks", b"X-API-Key: tl_live_x"), (401,)),
    "two credentials": (_get(b"/api/v2/tasks", _BEARER[:-2], b"X-API-Key: k"), (400,)),
    "version header": (_get(b"/api/echo", b"API-Version: 2"), (200,)),
    "version conflict": (_get(b"/api/v2/echo", b"API-Version: 1"), (400,)),
    "vendor type": (_get(b"/api/echo", b"Accept: application/vnd.tasklane.v2+json;q=0.5"), (200,)),
    "unknown version": (_get(b"/api/v9/echo"), (400,)),
    "page": (_get(b"/api/errors"), (200,)),
    "versions": (_get(b"/api/versions"), (200,)),
    "status": (_get(b"/api/rate-limit-status", _BEARER[:-2]), (200,)),
    "page, other method": (_get(b"/api/errors", method=b"DELETE"), (405,)),
    "kept answer": (_get(b"/api/v2/kept?a=1"), (200,)),
    "kept answer, asked about": (_get(b"/api/v2/kept", b'If-None-Match: "k"'), (304,)),
    "kept answer, a new one": (_get(b"/api/v2/kept", b"Cache-Control: no-cache"), (200,)),
    "packed by br": (_get(b"/api/v2/packed", b"Accept-Encoding: gzip;q=0.5, br"), (200,)),
    "packed by gzip": (_get(b"/api/v2/packed", b"Accept-Encoding: gzip"), (200,)),
    "answer in chunks": (_get(b"/api/v2/echo/chunked"), (200,)),
    "answer until close": (_get(b"/api/v2/echo/close"), (200,)),
    "answer not ours": (_get(b"/api/v2/echo/missing"), (404,)),
    "empty answer": (_get(b"/api/v2/echo/empty"), (204,)),
    "forwarded": (
        _get(
            b"/api/v2/echo",
            b"X-Forwarded-For: 1.2.3.4, [::1]:80",
            b"Forwarded: for=1.2.3.4;proto=http",
            b"X-User-ID: 1",
            b"Connection: x-user-id, close",
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"Cookie: a=b; session=x",
            b"X-Request-ID: mine",
        ),
        (200,),
    ),
    "counted body": (_post(b"Content-Length: 5\r\n", b"hello"), (200,)),
    "large body": (_post(b"Content-Length: 9000\r\n", b"x" * 9000), (200,)),
    "body too large": (_post(b"Content-Length: 9999999\r\n", b"x"), (413,)),
    "chunks": (_post(_CHUNKED, b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"), (200,)),
    "chunks with trailers": (_post(_CHUNKED, b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), (200,)),
    "expectation": (_post(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"ok"), (200,)),
    "pipelined": (
        _get(b"/api/v2/echo/1")
        + _post(b"Content-Length: 3\r\n", b"abc")
        + _get(b"/api/v2/nothing")
        + _get(b"/api/v2/echo/2", method=b"HEAD")
        + _get(b"/api/versions"),
        (200, 200, 404, 200, 200),
    ),
    "pipelined chunks": (
        _post(_CHUNKED, b"1\r\na\r\n0\r\n\r\n") * 3 + _get(b"/api/v2/echo"),
        (200, 200, 200, 200),
    ),
    "HTTP/1.0": (b"GET /api/v2/echo HTTP/1.0\r\n\r\n", (200,)),
    "HTTP/1.0 kept": (
        b"GET /api/v2/echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + _get(b"/api/v2/echo"),
        (200, 200),
    ),
    "absolute form": (_get(b"http://gateway.example/api/v2/echo"), (200,)),
    "empty line in front": (b"\r\n" + _get(b"/api/v2/echo"), (200,)),
    "websocket": (
        _get(
            b"/api/v2/echo/socket",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        + b"\x81\x85\x00\x00\x00\x00hello",
        (101,),
    ),
    "upgrade to h2c": (
        _get(
            b"/api/v2/echo",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        (200,),
    ),
}

REFUSED: dict[str, Seed] = {
    "length and chunked": (
        _post(b"Content-Length: 4\r\n" + _CHUNKED, b"0\r\n\r\n" + _SMUGGLED),
        (400,),
    ),
    "chunked and length": (_post(_CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), (400,)),
    "two lengths": (_post(b"Content-Length: 0\r\nContent-Length: 44\r\n", _SMUGGLED), (400,)),
    "list of lengths": (_post(b"Content-Length: 6, 6\r\n", b"abcdef"), (400,)),
    "signed length": (_post(b"Content-Length: +6\r\n", b"abcdef"), (400,)),
    "obscured coding": (_post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), (400,)),
    "coding with a tab": (_post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), (400,)),
    "coding after a space": (_post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), (400,)),
    "gzip, chunked": (_post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), (400,)),
    "chunked, identity": (_post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), (400,)),
    "chunked in 1.0": (
        b"POST /api/v2/echo HTTP/1.0\r\n" + _HOST + _CHUNKED + b"\r\n0\r\n\r\n" + _SMUGGLED,
        (400,),
    ),
    "underscore": (_post(b"Content_Length: 3\r\n", b"abc"), (400,)),
    "bare line feeds": (b"GET /api/v2/echo HTTP/1.1\nHost: a\n\n", (400,)),
    "folded line": (_get(b"/api/v2/echo", b"X: y", b" z"), (400,)),
    "bare carriage return": (_get(b"/api/v2/echo", b"X: y\rZ: z"), (400,)),
    "NUL in a value": (_get(b"/api/v2/echo", b"X: a\0b"), (400,)),
    "hexadecimal chunk size": (_post(_CHUNKED, b"0x3\r\nabc\r\n0\r\n\r\n"), (400,)),
    "chunk size overflow": (_post(_CHUNKED, b"10000000000000003\r\nabc\r\n"), (400,)),
    "line feed in extension": (_post(_CHUNKED, b"3;a\nb\r\nabc\r\n0\r\n\r\n"), (400,)),
    "chunk too long": (_post(_CHUNKED, b"3\r\nabcd\r\n0\r\n\r\n" + _SMUGGLED), (400,)),
    "no host": (b"GET /api/v2/echo HTTP/1.1\r\n\r\n", (400,)),
    "two hosts": (_get(b"/api/v2/echo", b"Host: b"), (400,)),
    "empty host": (b"GET /api/v2/echo HTTP/1.1\r\nHost:\r\n\r\n", (400,)),
    "host with user": (b"GET /api/v2/echo HTTP/1.1\r\nHost: u@h\r\n\r\n", (400,)),
    "host with path": (b"GET /api/v2/echo HTTP/1.1\r\nHost: h/p\r\n\r\n", (400,)),
    "list of hosts": (b"GET /api/v2/echo HTTP/1.1\r\nHost: a, b\r\n\r\n", (400,)),
    "HTTP/0.9": (b"GET /api/v2/echo\r\n\r\n", (400,)),
    "HTTP/0.9 spelled out": (b"GET /api/v2/echo HTTP/0.9\r\n" + _HOST + b"\r\n", (400,)),
    "HTTP/2.0": (b"GET /api/v2/echo HTTP/2.0\r\n" + _HOST + b"\r\n", (400,)),
    "h2 preface": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64",
        (400,),
    ),
    "TLS hello": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\x00\x02\x13\x01",
        (400,),
    ),
    "TRACE": (_get(b"/api/v2/echo", method=b"TRACE"), (405,)),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", (405,)),
    "unknown method": (_get(b"/api/v2/echo", method=b"BREW"), (405,)),
    "small method": (_get(b"/api/v2/echo", method=b"get"), (400,)),
    "asterisk": (_get(b"*", method=b"OPTIONS"), (400,)),
    "fragment": (_get(b"/api/v2/echo#x"), (400,)),
    "absolute form, other host": (_get(b"http://other/api/v2/echo"), (400,)),
    "encoded slash": (_get(b"/api/v2/echo%2f..%2fsmuggled"), (400,)),
    "encoded backslash": (_get(b"/api/v2/echo%5csmuggled"), (400,)),
    "encoded NUL": (_get(b"/api/v2/echo%00"), (400,)),
    "dot segments": (_get(b"/api/v2/echo/../../../smuggled"), (400,)),
    "encoded dots": (_get(b"/api/v2/echo/%2e%2e/%2e%2e/smuggled"), (400,)),
    "encoded letter": (_get(b"/api/v2/%65cho"), (400,)),
    "internal": (_get(b"/internal/exchange"), (404,)),
    "long target": (_get(b"/api/v2/echo/" + b"a" * 9000), (414,)),
    "long field": (_get(b"/api/v2/echo", b"X: " + b"y" * 17000), (431,)),
    "many fields": (_get(b"/api/v2/echo", *[b"X: y"] * 120), (431,)),
    "unknown expectation": (_post(b"Expect: 200-maybe\r\nContent-Length: 1\r\n", b"x"), (400,)),
    "nothing but a beginning": (b"GET /api/v2/ec", (408,)),
    "body that does not end": (_post(b"Content-Length: 50\r\n", b"abc"), (408,)),
}

SEEDS: dict[str, Seed] = {**GOOD, **REFUSED}
