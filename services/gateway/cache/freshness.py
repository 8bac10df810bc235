"""What an answer and a request say about caching, as a shared cache has to read it (RFC 9111)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.gateway.exchange import Exchange, Headers
from services.gateway.headers import IDENTITY_NAMES, IDENTITY_PREFIXES

LONGEST = 31_536_000  # seconds; what claims to last longer does not

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_DIRECTIVE = re.compile(rb"[ \t,]*(%b)(?:=(%b|\"[^\"]*\"))?[ \t]*(?:,|\Z)" % (_TOKEN, _TOKEN))
_FORBIDDING = frozenset({b"no-store", b"no-cache", b"private"})
# A proxy that is told how long it may keep an answer is told to ask then (RFC 9111 5.2.2.10).
_NEVER_STALE = frozenset({b"must-revalidate", b"proxy-revalidate", b"s-maxage"})
_OF_THE_BODY = frozenset({b"content-encoding", b"content-range", b"content-type"})
_NEVER_SHARED = frozenset({b"content-range", b"set-cookie"})


@dataclass(slots=True)
class Wish:
    """What a request demands of a stored answer, in seconds."""

    most_age: float = LONGEST
    least_left: float = 0.0


def directives(values: list[bytes]) -> dict[bytes, bytes] | None:
    """Cache-Control by directive, lower case; None if it is malformed or says one thing twice."""
    text = b",".join(values).rstrip(b" \t,")
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        match = _DIRECTIVE.match(text, position)
        if match is None or match[1].lower() in found:
            return None
        found[match[1].lower()] = (match[2] or b"").strip(b'"')
        position = match.end()
    return found


def lifetime(headers: Headers) -> int | None:
    """Seconds for which anybody may be sent a 200 with these fields; None for one not to be kept.

    It has to be said in so many words: `public`, and for how long.
    """
    chosen_by = vary_names(headers)
    if chosen_by is None or any(name in _NEVER_SHARED for name, _ in headers):
        return None
    if b"accept-encoding" not in chosen_by and _values(headers, b"content-encoding"):
        # A service that forgets to say so would have its gzip sent to who cannot read it.
        return None
    said = directives(_values(headers, b"cache-control"))
    if said is None or b"public" not in said or not _FORBIDDING.isdisjoint(said):
        return None
    seconds = said.get(b"s-maxage", said.get(b"max-age", b""))
    if not _is_number(seconds):
        return None
    return min(int(seconds), LONGEST)


def age_of(headers: Headers) -> int:
    """The Age that an answer came with, in seconds; one that cannot be read is as old as can be."""
    ages = _values(headers, b"age")
    if not ages:
        return 0
    return int(ages[0]) if len(ages) == 1 and _is_number(ages[0]) else LONGEST


def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
    """The request fields that chose the answer; None where no request can be told to match.

    What the gateway says itself in a request is not what the client has sent under that name.
    """
    names = {name.strip().lower() for name in b",".join(_values(headers, b"vary")).split(b",")}
    names.discard(b"")
    for name in names:
        if name == b"*" or name in IDENTITY_NAMES or name.startswith(IDENTITY_PREFIXES):
            return None
    return tuple(sorted(names))


def wish_of(exchange: Exchange) -> Wish | None:
    """What the request's Cache-Control demands; None where nothing may be stored or looked up."""
    values = exchange.header_values(b"cache-control")
    if not values:
        # RFC 9111 section 5.4: what HTTP/1.0 had in place of Cache-Control.
        pragma = exchange.fields.get(b"pragma", b"")
        return Wish(most_age=-1) if b"no-cache" in pragma.lower() else Wish()
    said = directives(values)
    if said is None or b"no-cache" in said:
        return None if said is not None and b"no-store" in said else Wish(most_age=-1)
    if b"no-store" in said:
        return None
    wish = Wish()
    if b"max-age" in said:
        wish.most_age = int(said[b"max-age"]) if _is_number(said[b"max-age"]) else -1
    if b"min-fresh" in said:
        wish.least_left = int(said[b"min-fresh"]) if _is_number(said[b"min-fresh"]) else LONGEST
    return wish


def questions(headers: Headers) -> Headers:
    """The request fields that ask whether an answer with these fields is still good.

    RFC 9111 section 4.3.1; none where it has nothing to ask about.
    """
    tags, dates = _values(headers, b"etag"), _values(headers, b"last-modified")
    if len(tags) == 1:
        return [(b"if-none-match", tags[0])]
    return [(b"if-modified-since", dates[0])] if len(dates) == 1 and not tags else []


def confirms(answer: Headers, kept: Headers) -> bool:
    """Whether a 304 with the fields `answer` speaks of what is `kept` (RFC 9111 section 4.3.4)."""
    named = _values(answer, b"etag")
    return not named or [tag.removeprefix(b"W/") for tag in named] == [
        tag.removeprefix(b"W/") for tag in _values(kept, b"etag")
    ]


def updated(kept: Headers, answer: Headers) -> Headers:
    """The `kept` fields with those of a 304 in their place (RFC 9111 section 3.2)."""
    newer = [field for field in answer if field[0] not in _OF_THE_BODY]
    names = {name for name, _ in newer}
    return [field for field in kept if field[0] not in names] + [
        field for field in newer if field[0] != b"age"
    ]


def may_be_stale(headers: Headers) -> bool:
    """Whether an answer with these fields may be sent past its time (RFC 9111 section 4.2.4)."""
    said = directives(_values(headers, b"cache-control"))
    return said is not None and _NEVER_STALE.isdisjoint(said)


def is_unchanged(exchange: Exchange, headers: Headers) -> bool:
    """Whether If-None-Match names the stored answer, by weak comparison (RFC 9110 13.1.2)."""
    asked = b",".join(exchange.header_values(b"if-none-match"))
    tags = _values(headers, b"etag")
    if not asked or len(tags) != 1:
        return False
    listed = {tag.strip().removeprefix(b"W/") for tag in asked.split(b",")}
    return b"*" in listed or tags[0].removeprefix(b"W/") in listed


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _is_number(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 10
