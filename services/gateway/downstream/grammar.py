"""The grammar of a request's head (RFC 9112 sections 3 and 5), and why one does not follow it.

There is no obsolete folding and no bare line feed. A field name with an underscore is refused, as
too many readers take it for one with a hyphen.
"""

from __future__ import annotations

import re

from shared.errors import ApiError, BadRequest, HeadersTooLarge, UriTooLong

_NAME = rb"[!#$%&'*+\-.^`|~0-9A-Za-z]++"
# A target of plain segments needs no closer look, and most are: its path and query are groups.
_TARGET = rb"((?:((?:/[A-Za-z0-9_\-]++)++/?)(?:\?([\x21\x22\x24-\x7e]*+))?+(?= )|[\x21-\x7e]++))"

# Groups: method, target, path and query of a plain target, minor version.
LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) " + _TARGET + rb" HTTP/1\.([01])")
# What comes after the request line, its own line end included.
FIELDS = re.compile(rb"(?:\r\n" + _NAME + rb":[\t\x20-\x7e\x80-\xff]*+)*+\r\n\r\n")

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([^ ]++) (HTTP/[0-9]\.[0-9])")
_BEGINNING = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]")
# Of a head that is refused unread: what it asks for, as far as that can be told.
_ASKED = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x3e\x40-\x7e]{0,1023})")
_ACCEPT = re.compile(rb"\r?\n(?i:accept):[ \t]*([\x21-\x7e][\x20-\x7e]{0,255}?)[ \t]*\r?\n")
_LINE_OVERHEAD = 64  # bytes of a request line besides its target
_BAD_FIELD = [
    (re.compile(rb"[ \t]"), "folded header lines are not taken"),
    (re.compile(rb"[^:]*\Z"), "a header line has no colon"),
    (re.compile(rb"[^:]*[ \t]:"), "white space before the colon of a header"),
    (re.compile(rb"[^:]*_"), "header names must not have underscores"),
    (re.compile(rb"(?!" + _NAME + rb":)"), "a header name has a character that it must not have"),
    (
        re.compile(rb".*?[\x00-\x08\x0a-\x1f\x7f]", re.DOTALL),
        "a header value has a control character",
    ),
]


def hopeless(beginning: bytes, max_target: int, max_head: int) -> ApiError | None:
    """Why a head that begins like this cannot become a good one, if it cannot."""
    line = beginning.find(b"\r\n")
    if (line if line >= 0 else len(beginning)) > max_target + _LINE_OVERHEAD:
        return UriTooLong()
    if len(beginning) > max_head:
        return HeadersTooLarge()
    broken = beginning.count(b"\n") > beginning.count(b"\r\n")
    if line >= 0 and LINE.fullmatch(beginning, 0, line) is None:
        broken = True
    if broken or (beginning != b"\r" and _BEGINNING.match(beginning) is None):
        return diagnose(beginning, max_target)
    return None


def asked(beginning: bytes) -> tuple[str, str]:
    """Method and path of a head that begins like this, each "-" where there is none to be seen.

    What answers it says so in the version that it asks for. A path is cut after 1,024 bytes.
    """
    match = _ASKED.match(beginning)
    return ("-", "-") if match is None else (str(match[1], "ascii"), str(match[2], "ascii"))


def accepted(beginning: bytes) -> bytes | None:
    """The Accept header of a head that begins like this, where it is to be seen.

    It only chooses between the two forms in which the refusal can come.
    """
    match = _ACCEPT.search(beginning)
    return None if match is None else match[1]


def diagnose(head: bytes, max_target: int) -> ApiError:
    """Why `head`, whole or not, does not match the grammar. The offending bytes are not echoed."""
    pairs = head.count(b"\r\n")
    line, *fields = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    reason = next(filter(None, map(_why_field, fields)), "the head is malformed")
    if head.count(b"\n") != pairs or head.count(b"\r") != pairs:
        reason = "lines must end in CR LF, and have neither inside"
    elif match is None:
        reason = "the request line is malformed"
    elif match[3] not in (b"HTTP/1.0", b"HTTP/1.1"):
        reason = "only HTTP/1.1 and HTTP/1.0 are spoken here"
    elif len(match[2]) > max_target:
        return UriTooLong()
    elif re.search(rb"[^\x21-\x7e]", match[2]):
        reason = "the target has a control character or is not ASCII"
    return BadRequest(f"Malformed request: {reason}")


def _why_field(field: bytes) -> str | None:
    if not field:
        return None
    return next((reason for pattern, reason in _BAD_FIELD if pattern.match(field)), None)
