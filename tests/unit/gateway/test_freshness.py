"""What may be kept for all, and what a request demands of it."""

from __future__ import annotations

import pytest

from services.gateway.cache.freshness import (
    LONGEST,
    Wish,
    age_of,
    is_unchanged,
    lifetime,
    wish_of,
)
from services.gateway.exchange import Headers
from tests.unit.gateway.exchanges import exchange


def fields(cache_control: bytes, *more: tuple[bytes, bytes]) -> Headers:
    return [(b"cache-control", cache_control), *more]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        fields(b"max-age=60"),
        fields(b"public"),
        fields(b"public, max-age"),
        fields(b"public, max-age=-1"),
        fields(b"public, max-age=1.5"),
        fields(b"public, max-age=99999999999999999999"),
        fields(b"public, max-age=60, max-age=90"),
        fields(b"public, max-age=60", (b"cache-control", b"private")),
        fields(b"public, max-age=60, no-store"),
        fields(b"public, max-age=60, No-Cache"),
        fields(b'public, max-age=60, no-cache="set-cookie"'),
        fields(b'public, max-age=60, x="unclosed'),
        fields(b'x="public, max-age=60"'),
        fields(b"public max-age=60"),
        fields(b"public, max-age=60", (b"set-cookie", b"a=b")),
        fields(b"public, max-age=60", (b"vary", b"*")),
        fields(b"public, max-age=60", (b"vary", b"Accept, X-Forwarded-For")),
        fields(b"public, max-age=60", (b"vary", b"X-Request-ID")),
        fields(b"public, max-age=60", (b"content-encoding", b"gzip")),
        fields(b"public, max-age=60", (b"content-range", b"bytes 0-1/2")),
    ],
    ids=str,
)
def test_what_nobody_has_called_public_is_not_kept(headers: Headers) -> None:
    assert lifetime(headers) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (fields(b"public, max-age=60"), 60),
        (fields(b"PUBLIC ,, Max-Age=60,"), 60),
        (fields(b'public, max-age="60", x="a, private"'), 60),
        (fields(b"public, max-age=60, s-maxage=5"), 5),
        (fields(b"public", (b"cache-control", b"max-age=0")), 0),
        (fields(b"public, max-age=9999999999"), LONGEST),
        (fields(b"public, max-age=6", (b"vary", b"Accept-Encoding"),
                (b"content-encoding", b"gzip")), 6),
    ],
    ids=str,
)  # fmt: skip
def test_how_long_a_public_answer_is_good(headers: Headers, seconds: int) -> None:
    assert lifetime(headers) == seconds


def test_an_age_that_cannot_be_read_is_the_greatest() -> None:
    assert age_of([]) == 0
    assert age_of([(b"age", b"7")]) == 7
    assert age_of([(b"age", b"-7")]) == LONGEST
    assert age_of([(b"age", b"7"), (b"age", b"8")]) == LONGEST


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({}, Wish()),
        ({"cache-control": "no-store"}, None),
        ({"cache-control": "no-cache, no-store"}, None),
        ({"cache-control": "no-cache"}, Wish(most_age=-1)),
        ({"cache-control": "="}, Wish(most_age=-1)),
        ({"pragma": "no-cache"}, Wish(most_age=-1)),
        ({"pragma": "no-cache", "cache-control": "max-age=5"}, Wish(most_age=5)),
        ({"cache-control": "max-age=x"}, Wish(most_age=-1)),
        ({"cache-control": "max-age=5, min-fresh=3"}, Wish(most_age=5, least_left=3)),
        ({"cache-control": "min-fresh=x"}, Wish(least_left=LONGEST)),
        ({"cache-control": "max-stale=9"}, Wish()),
    ],
    ids=str,
)
def test_what_a_request_demands(headers: dict[str, str], wish: Wish | None) -> None:
    assert wish_of(exchange(headers=headers)) == wish


@pytest.mark.parametrize(
    ("asked", "unchanged"),
    [('"b"', False), ('W/"a"', True), ('"b", "a"', True), ("*", True), ("a", False)],
)
def test_entity_tags_are_compared_weakly(asked: str, unchanged: bool) -> None:
    assert is_unchanged(exchange(if_none_match=asked), [(b"etag", b'"a"')]) is unchanged
    assert not is_unchanged(exchange(if_none_match=asked), [])
