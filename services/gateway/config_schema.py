"""The form of GATEWAY_CONFIG: every key, its type and its bounds. Unknown keys are refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from services.gateway.limits.policies import FailureMode, Key, parse_rate
from shared.identity import Tier

# A day in seconds and a gigabyte: bounds that only a typing error exceeds.
_DAY, _GIGABYTE = 86_400, 1 << 30


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("must be a number of seconds")
    if not (math.isfinite(value) and 0 < value <= _DAY):
        raise ValidationError(f"must be more than 0 and at most {_DAY} seconds")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValidationError("must be true or false")
    return value


def _moment(value: Any) -> datetime:
    """A time with its offset, or a date, meaning midnight UTC; in TOML's form or as a string."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)
        except ValueError:
            raise ValidationError("must be a date or a time") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValidationError("must have an offset, as in 2026-01-31T12:00:00Z")
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValidationError("must be a date or a time")


def Seconds() -> fields.Field[Any]:  # noqa: N802 - reads as the field that it is
    """A positive number of seconds."""
    return fields.Function(deserialize=_seconds)


def Flag() -> fields.Field[Any]:  # noqa: N802
    """true or false, and nothing that only looks like it."""
    return fields.Function(deserialize=_flag)


def Moment(**kwargs: Any) -> fields.Field[Any]:  # noqa: N802
    """A point in time."""
    return fields.Function(deserialize=_moment, **kwargs)


def Whole(least: int, most: int) -> fields.Field[Any]:  # noqa: N802
    """A whole number between two bounds."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("must be a whole number")
        if not least <= value <= most:
            raise ValidationError(f"must be {least} to {most}")
        return value

    return fields.Function(deserialize=check)


def Named(form: str, values: fields.Field[Any], **kwargs: Any) -> fields.Field[Any]:  # noqa: N802
    """A table whose keys are names of one form and whose values have one schema."""
    pattern = re.compile(form)

    def check(table: Any) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise ValidationError("must be a table")
        found: dict[str, Any] = {}
        wrong: dict[str, Any] = {}
        for name, item in table.items():
            if not pattern.fullmatch(name):
                wrong[name] = ["is not a name that may stand here"]
                continue
            try:
                found[name] = values.deserialize(item, name, table)
            except ValidationError as error:
                wrong[name] = error.messages
        if wrong:
            raise ValidationError(wrong)
        return found

    return fields.Function(deserialize=check, **kwargs)


class Table(Schema):
    """A TOML table with known keys only. Keys left out are left out of the result too."""

    error_messages = {  # noqa: RUF012 - as marshmallow declares it
        "unknown": "is not a key that may stand here",
        "type": "must be a table",
    }

    class Meta:
        unknown = RAISE


def _rate(value: str) -> None:
    try:
        parse_rate(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _endpoint(value: str) -> None:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValidationError("must be http://host:port") from None
    if (
        parts.scheme != "http"
        or not parts.hostname
        or port == 0
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValidationError("must be http://host:port")


def _text(form: str, meaning: str, **kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Regexp(rf"\A(?:{form})\Z", error=meaning), **kwargs)


def _one_of(choices: Any, **kwargs: Any) -> fields.String:
    names = [str(choice) for choice in choices]
    error = f"must be one of: {', '.join(names)}"
    return fields.String(validate=validate.OneOf(names, error=error), **kwargs)


VERSION = r"v[1-9][0-9]{0,8}"
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_PATH = r"(?:/[A-Za-z0-9._~!$&'()+,;=:@-]+)+"
_MATCH = rf"(?:\*|[A-Z]+) {_PATH}(?:/\*)?"
_ORIGIN = r"\*|https?://[A-Za-z0-9.\-\[\]:]+"
_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


def _rates() -> fields.List[str]:
    return fields.List(fields.String(validate=_rate), validate=validate.Length(max=8))


class Brownout(Table):
    begin = Moment(required=True, data_key="from")
    end = Moment(required=True, data_key="until")


class Version(Table):
    status = _one_of(("preview", "stable", "deprecated", "sunset", "retired"), required=True)
    since = Moment()
    deprecated_at = Moment()
    sunset_at = Moment()
    successor = _text(VERSION, "must be a version such as v2")
    brownouts = fields.List(fields.Nested(Brownout), validate=validate.Length(max=1000))


class LimitedRoute(Table):
    match = _text(_MATCH, "must be a method or *, a space, and a path below /api/vN", required=True)
    name = _text(NAME, "must be 1 to 64 letters, digits, dots, dashes or underscores")
    key = _one_of(Key)
    policies = _rates()
    cost = Whole(1, 1_000_000)
    shadow = Flag()
    on_redis_failure = _one_of(FailureMode)


class Limits(Table):
    on_redis_failure = _one_of(FailureMode)
    redis_timeout = Seconds()
    refused_credentials = _rates()
    tiers = Named("|".join(Tier), _rates())
    routes = fields.List(fields.Nested(LimitedRoute), validate=validate.Length(max=1000))


class Server(Table):
    header_timeout = Seconds()
    idle_timeout = Seconds()
    min_body_rate = Whole(1, _GIGABYTE)
    max_body = Whole(0, 1024 * _GIGABYTE)
    max_header_bytes = Whole(1024, 1 << 20)
    max_target_bytes = Whole(64, 1 << 16)
    max_header_count = Whole(8, 10_000)
    max_connections = Whole(0, 1_000_000)
    max_connections_per_address = Whole(0, 1_000_000)


class Timeouts(Table):
    connect = Seconds()
    first_byte = Seconds()
    idle = Seconds()
    total = Seconds()


class Ejection(Table):
    after = Whole(0, 1_000_000)
    base = Seconds()
    longest = Seconds()
    slow_start = Seconds()


class Breaker(Table):
    after = Whole(0, 1_000_000)
    pause = Seconds()


class Check(Table):
    path = _text(_PATH, "must be a path without a slash at its end", required=True)
    interval = Seconds()
    timeout = Seconds()
    fail_after = Whole(1, 1_000)


class Upstream(Table):
    endpoints = fields.List(
        fields.String(validate=_endpoint),
        required=True,
        validate=validate.Length(min=1, max=1000, error="must name at least one endpoint"),
    )
    timeouts = fields.Nested(Timeouts)
    max_connections = Whole(1, 100_000)
    keep_alive = Seconds()
    ejection = fields.Nested(Ejection)
    breaker = fields.Nested(Breaker)
    check = fields.Nested(Check)


class Route(Table):
    prefix = _text(rf"/|{_PATH}", "must be a path without a slash at its end", required=True)
    upstream = _text(NAME, "must be the name of an upstream", required=True)
    auth = _one_of(("required", "optional", "none"), required=True)
    timeouts = fields.Nested(Timeouts)
    max_body = Whole(0, 1024 * _GIGABYTE)
    retries = Whole(0, 5)
    versioned = Flag()
    raw_errors = Flag()
    compress = Flag()
    cache = Flag()
    stale_if_error = Whole(0, 604_800)


class Cors(Table):
    allow_origins = fields.List(_text(_ORIGIN, 'must be "*" or scheme://host[:port]'))
    allow_methods = fields.List(_text("[A-Z]+", "must be a method"))
    allow_headers = fields.List(_text(_HEADER_NAME, "must be a header name"))
    expose_headers = fields.List(_text(_HEADER_NAME, "must be a header name"))
    allow_credentials = Flag()
    max_age = Whole(0, _DAY)


class File(Table):
    default_version = _text(VERSION, "must be a version such as v1", required=True)
    versions = Named(VERSION, fields.Nested(Version), required=True)
    limits = fields.Nested(Limits, required=True)
    server = fields.Nested(Server, required=True)
    upstreams = Named(NAME, fields.Nested(Upstream), required=True)
    routes = fields.List(fields.Nested(Route), required=True, validate=validate.Length(max=10_000))
    cors = fields.Nested(Cors, required=True)


def flatten(messages: Any, path: str = "") -> Mapping[str, list[str]]:
    """marshmallow's nested messages as `limits.routes[0].match` -> reasons."""
    if isinstance(messages, list):
        return {path: [str(message) for message in messages]}
    found: dict[str, list[str]] = {}
    for name, below in messages.items():
        if isinstance(name, int):
            inner = f"{path}[{name}]"
        elif name == "_schema":
            inner = path
        else:
            inner = f"{path}.{name}" if path else str(name)
        for at, reasons in flatten(below, inner).items():
            found.setdefault(at, []).extend(reasons)
    return found
