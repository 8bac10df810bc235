"""GET /docs: Swagger UI from this process, under a strict content policy, without the internet."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from services.gateway.exchange import Answer, Exchange, Headers
from services.gateway.pages.page import Page
from services.gateway.rules import Rules

STATIC = Path(__file__).resolve().parent / "static"

# Swagger UI draws its icons from data: URLs; scripts and styles come from files of ours only.
CONTENT_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".png": b"image/png",
}
_FILES = (
    "docs.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
    "favicon-32x32.png",
)
# A page load is several files: it should not use up the requests that the reader wants to try.
_LIMITED = False


class StaticFile:
    """One file, read and packed at its first request."""

    def __init__(self, name: str) -> None:
        self._path = STATIC / name
        self._type = _TYPES[self._path.suffix]

    async def __call__(self, exchange: Exchange, _rules: Rules) -> Answer:
        plain, packed, tag = load(self._path)
        headers: Headers = [
            (b"content-type", self._type),
            (b"content-security-policy", CONTENT_POLICY),
            (b"x-frame-options", b"DENY"),
            (b"cache-control", b"public, max-age=300"),
            (b"etag", tag),
            (b"vary", b"Accept-Encoding"),
        ]
        if tag in (exchange.header(b"if-none-match") or b""):
            return Answer(304, headers)
        if b"gzip" in (exchange.header(b"accept-encoding") or b""):
            headers.append((b"content-encoding", b"gzip"))
            return Answer(200, headers, packed)
        return Answer(200, headers, plain)


@cache
def load(path: Path) -> tuple[bytes, bytes, bytes]:
    """Content, gzipped content and a weak entity tag: one content has two encodings."""
    plain = path.read_bytes()
    tag = hashlib.sha256(plain).hexdigest()[:16].encode()
    return plain, gzip.compress(plain, compresslevel=6, mtime=0), b'W/"%b"' % tag


async def index(_exchange: Exchange, _rules: Rules) -> Answer:
    """The root has nothing of its own."""
    return Answer(308, [(b"location", b"/docs")])


def static_pages() -> Iterator[Page]:
    """The documentation page and the files that it loads."""
    yield Page("/docs", StaticFile("docs.html"), limited=_LIMITED)
    for name in _FILES:
        yield Page(f"/docs/{name}", StaticFile(name), limited=_LIMITED)
