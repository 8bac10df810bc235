"""The request target: taken in one form only, or refused.

Requests are authorised, limited and forwarded on the same raw path. So a path must mean the same
to everybody who reads it, whether or not he decodes it first.
"""

from __future__ import annotations

import re
from functools import lru_cache

from shared.errors import BadRequest

# RFC 3986 pchar, segments not empty. A dot segment with a parameter is one to servers that cut
# parameters off ("/..;/"). The encoded characters that are left are reserved ones or not
# ASCII: a letter, a digit, "-", ".", "_" or "~" has no business being encoded (section 2.3), and
# "/auth/logi%6e" would pass by a rule for "/auth/login" and still reach it.
_UNRESERVED = rb"2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee]"
_AMBIGUOUS = rb"2[Ff]|5[Cc]|00"
_PATH = re.compile(
    rb"/|(?:/(?!\.{1,2}(?:[/;]|\Z))"
    rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%(?!" + _AMBIGUOUS + rb"|" + _UNRESERVED + rb")"
    rb"[0-9A-Fa-f]{2})++)++/?"
)
_DOT = rb"(?:\.|%2[Ee])"
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~\-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")

_REASONS = [
    (re.compile(rb"#"), "the target must not have a fragment"),
    (re.compile(rb"\\"), "the path must not have a backslash"),
    (re.compile(rb"%(?![0-9A-Fa-f]{2})"), "the path has a percent sign that encodes nothing"),
    (re.compile(rb"%2[Ff]|%5[Cc]"), "the path must not have an encoded slash"),
    (re.compile(rb"%00"), "the path must not have an encoded NUL"),
    (re.compile(rb"/" + _DOT + rb"{1,2}(?=[/;]|\Z)"), "the path must not have dot segments"),
    (re.compile(rb"//"), "the path must not have empty segments"),
    (re.compile(rb"%(?:" + _UNRESERVED + rb")"), "the path encodes a character that needs none"),
]


@lru_cache(maxsize=256)
def is_authority(value: bytes) -> bool:
    """Whether `value` is a host with an optional port, and nothing else (RFC 9110 section 7.2)."""
    match = _AUTHORITY.fullmatch(value)
    return match is not None and (match[1] is None or int(match[1]) < 65536)


def split_target(target: bytes, host: bytes | None) -> tuple[str, str]:
    """Path and query of a request target, raw.

    The absolute form is taken when it names the same authority as `host`, the Host header.
    Raises BadRequest for any other form (RFC 9112 section 3.2), and for an ambiguous path.
    """
    if target[:1] != b"/":
        target = _origin_form(target, host)
    path, _, query = target.partition(b"?")
    if _PATH.fullmatch(path) is None or b"#" in query:
        raise BadRequest(f"Malformed request: {_why(path, query)}")
    return str(path, "ascii"), str(query, "ascii")


def _origin_form(target: bytes, host: bytes | None) -> bytes:
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("Malformed request: the target must begin with a slash")
    end = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    if host is None or rest[:end].lower() != host.lower():
        raise BadRequest("Malformed request: the target names another host than the Host header")
    rest = rest[end:]
    return rest if rest[:1] == b"/" else b"/" + rest


def _why(path: bytes, query: bytes) -> str:
    for pattern, reason in _REASONS:
        if pattern.search(path):
            return reason
    if b"#" in query:
        return "the target must not have a fragment"
    return "the path has a character that must be percent-encoded"
