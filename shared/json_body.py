"""Strict JSON (RFC 8259): what two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from shared.errors import BadRequest, ValidationFailed

MAX_DEPTH = 32
# Of the path of what is too deep: the field, or the field of one object of a list of them.
_FIELD = re.compile(r"(?:[^.]+\.)?\d+\.(?!\d+(?:\.|$))[^.]+|[^.]+")
_NAME_SHOWN = 100


class _DuplicateKeys(ValueError):
    def __init__(self, names: list[str]) -> None:
        super().__init__("duplicate keys")
        self.names = names


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises BadRequest for what is not JSON, and ValidationFailed naming the field for keys that an
    object has twice, lone surrogates, numbers beyond a double and nesting over 32 levels.
    """
    if not body:
        raise BadRequest(
            "The request body is empty", details={"body": ["A JSON value is required."]}
        )
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse_values_of_the_lenient(body)
        where = f"{error.msg} at line {error.lineno} column {error.colno}"
        raise BadRequest(
            "The request body is not valid JSON", details={"body": [f"Invalid JSON: {where}."]}
        ) from None
    _refuse_depth(value)
    try:
        # orjson keeps the last of two equal keys; only this pass can see that there were two. The
        # numbers are of no interest to it, and a hostile one costs quadratic time to convert.
        _PAIRS.decode(body.decode())
    except _DuplicateKeys as error:
        details = {_shown(name): ["Duplicate key."] for name in error.names[:10]}
        raise ValidationFailed(details=details) from None
    return value


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        given = Counter(name for name, _ in pairs)
        raise _DuplicateKeys(sorted(name for name, times in given.items() if times > 1))


_PAIRS = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_int=len, parse_float=len)


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        # Level by level, as every request pays for this; only a refusal needs the paths.
        level = [
            below
            for item in level
            if isinstance(item, (dict, list))
            for below in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    for path, _leaf, depth in _walk(value):
        if depth > MAX_DEPTH:
            found = _FIELD.match(path)
            field = found.group() if found else "body"
            raise ValidationFailed(details={field: [f"Nested deeper than {MAX_DEPTH} levels."]})


def _refuse_values_of_the_lenient(body: bytes) -> None:
    """Names the field whose value orjson refuses although the text around it is JSON."""

    def no_json(_: str) -> None:
        raise ValueError("not JSON")

    try:
        value = json.loads(body, parse_constant=no_json, parse_int=float)
    except (ValueError, RecursionError):
        return
    faults: tuple[tuple[Callable[[Any], bool], str], ...] = (
        (lambda leaf: isinstance(leaf, str) and _has_surrogate(leaf), "Not valid Unicode text."),
        (lambda leaf: isinstance(leaf, float) and math.isinf(leaf), "Number out of range."),
    )
    for path, leaf, _depth in _walk(value):
        for is_fault, reason in faults:
            if is_fault(leaf):
                raise ValidationFailed(details={path or "body": [reason]})


def _walk(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Every key and value in `value` with its dotted path and depth; takes no recursion."""
    pending: list[tuple[str, Any, int]] = [("", value, 0)]
    while pending:
        path, item, depth = pending.pop()
        yield path, item, depth
        prefix = f"{path}." if path else ""
        if isinstance(item, dict):
            for key, below in item.items():
                name = prefix + _shown(key)
                if _has_surrogate(key):
                    yield name, key, depth
                pending.append((name, below, depth + 1))
        elif isinstance(item, list):
            pending.extend((f"{prefix}{at}", below, depth + 1) for at, below in enumerate(item))
        if depth > MAX_DEPTH:
            return


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shown(name: str) -> str:
    """A key as an error may show it: short, and encodable."""
    return name[:_NAME_SHOWN].encode("utf-8", "replace").decode()
