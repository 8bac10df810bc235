"""What a client may get for whatever it has sent: whole answers in the contract's shape."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass

import brotli
import orjson

from shared.errors import catalogue

_HEAD = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9]{2}) [\x20-\x7e]*\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9a-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")
_ONCE = (
    b"api-version", b"connection", b"content-length", b"content-type", b"date", b"retry-after",
    b"transfer-encoding", b"vary", b"x-content-type-options", b"x-request-id",
)  # fmt: skip
_CODES = {(error.status, error.code) for error in catalogue()}
# The service behind is well: whatever says that it is not is a fault of the gateway's.
NEVER = frozenset({500, 502, 503, 504})
_ENVELOPE = {"code", "message", "details", "request_id"}
_PROBLEM = {"type", "title", "status", "detail", "instance", "code", "errors"}


class BadAnswer(Exception):
    """The bytes that came back are not what they have to be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, taken apart."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


def read_answers(stream: bytes, *, heads: bool, cut: bool) -> list[Answer]:
    """The answers in `stream`, all that a client has received; 1xx ones are left out.

    `heads` says that some requests may have been HEAD, whose answers end with their fields. `cut`
    says that the client went away, so the last answer may be a part of one. Raises BadAnswer.
    """
    answers: list[Answer] = []
    position = 0
    while position < len(stream):
        match = _HEAD.match(stream, position)
        if match is None:
            if cut:
                break
            raise BadAnswer(f"not the head of an answer: {stream[position : position + 80]!r}")
        position = match.end()
        status, fields = int(match[1]), _fields(match[2])
        if status == 100:
            continue
        _check_fields(status, fields)
        if status == 101:
            answers.append(Answer(status, fields, b""))
            break
        try:
            body, position = _body(status, fields, stream, position, heads)
        except BadAnswer:
            if cut:
                break
            raise
        answer = Answer(status, fields, body)
        _check_error(answer)
        _check_coding(answer)
        answers.append(answer)
        if fields.get(b"connection") == b"close" and position < len(stream):
            raise BadAnswer("an answer that closes the connection is not the last")
    return answers


def _fields(lines: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        if name in found and name in _ONCE:
            raise BadAnswer(f"{name!r} is there twice")
        found[name] = value
    return found


def _check_fields(status: int, fields: dict[bytes, bytes]) -> None:
    if status in NEVER:
        raise BadAnswer(f"status {status}")
    for name in (b"date", b"x-request-id", b"x-content-type-options"):
        if name not in fields:
            raise BadAnswer(f"no {name!r} on a {status}")
    if b"content-length" in fields and b"transfer-encoding" in fields:
        raise BadAnswer("two ways to find the end of the body")
    if status == 405 and b"allow" not in fields:
        raise BadAnswer("a 405 without Allow")
    if status == 401 and b"www-authenticate" not in fields:
        raise BadAnswer("a 401 without a challenge")
    if status == 429 and b"retry-after" not in fields:
        raise BadAnswer("a 429 without Retry-After")


def _body(
    status: int, fields: dict[bytes, bytes], stream: bytes, position: int, heads: bool
) -> tuple[bytes, int]:
    """The body that begins at `position`, and where it ends."""
    if status in (204, 304):
        return b"", position
    left = stream[position:]
    if heads and (not left or left.startswith(b"HTTP/1.1 ")):
        return b"", position
    if fields.get(b"transfer-encoding") == b"chunked":
        return _chunks(stream, position)
    length = fields.get(b"content-length")
    if length is None:
        if fields.get(b"connection") != b"close":
            raise BadAnswer("an answer without an end")
        return left, len(stream)
    if len(left) < int(length):
        raise BadAnswer(f"{len(left)} bytes of a body of {int(length)}")
    return left[: int(length)], position + int(length)


def _chunks(stream: bytes, position: int) -> tuple[bytes, int]:
    body = b""
    while True:
        match = _CHUNK.match(stream, position)
        if match is None:
            raise BadAnswer("not the beginning of a chunk")
        size = int(match[1], 16)
        position = match.end() + size
        body += stream[match.end() : position]
        if stream[position : position + 2] != b"\r\n":
            raise BadAnswer("a chunk that does not end where it says")
        position += 2
        if not size:
            return body, position


def _check_coding(answer: Answer) -> None:
    """What says that it is compressed can be unpacked."""
    coding = answer.fields.get(b"content-encoding")
    if coding is None or not answer.body:
        return
    try:
        if coding == b"br":
            brotli.decompress(answer.body)
        else:
            gzip.decompress(answer.body)
    except (brotli.error, EOFError, OSError, zlib.error) as error:
        raise BadAnswer(f"not {coding!r}: {error}") from None


def _check_error(answer: Answer) -> None:
    """An error is the contract's object, its code one of the catalogue's (RFC 9457 if asked)."""
    if answer.status < 400 or not answer.body:
        return
    kind = answer.fields.get(b"content-type")
    request_id = answer.fields[b"x-request-id"].decode("latin-1")
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise BadAnswer(f"an error that is no JSON: {answer.body[:80]!r}") from None
    if kind == b"application/problem+json":
        good = set(document) == _PROBLEM and document["status"] == answer.status
        code, details = document.get("code"), document.get("errors")
    else:
        error = document.get("error", {})
        good = kind == b"application/json" and set(error) == _ENVELOPE
        good = good and error.get("request_id") == request_id
        code, details = error.get("code"), error.get("details")
    if not good or not isinstance(details, dict) or (answer.status, code) not in _CODES:
        raise BadAnswer(f"not the contract's error: {answer.status} {answer.body[:200]!r}")
