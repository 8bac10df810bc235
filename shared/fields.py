"""marshmallow fields that take exactly what they document, nothing near it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate

# RFC 3339 section 5.6; the offset is required, leap seconds are left out as PostgreSQL has none.
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CANONICAL_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class Text(fields.String):
    """A string of `minimum` to `maximum` code points that PostgreSQL can store: no U+0000."""

    def __init__(self, *, minimum: int = 0, maximum: int, **kwargs: Any) -> None:
        length = validate.Length(
            min=minimum, max=maximum, error=f"Length must be between {minimum} and {maximum}."
        )
        metadata = {"pattern": "^[^\\u0000]*$", **kwargs.pop("metadata", {})}
        extra = kwargs.pop("validate", ())
        checks = [length, *(extra if isinstance(extra, (list, tuple)) else [extra])]
        super().__init__(validate=checks, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if "\x00" in text:
            raise ValidationError("Must not contain the character U+0000.")
        if _SURROGATE.search(text):
            raise ValidationError("Not valid Unicode text.")
        return text


class Whole(fields.Integer):
    """A JSON integer (2.0 counts as 2, as JSON Schema has it); no strings, no booleans."""

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        between = validate.Range(
            min=minimum, max=maximum, error=f"Must be between {minimum} and {maximum}."
        )
        super().__init__(strict=True, validate=between, **kwargs)

    def _validated(self, value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class WholeParameter(fields.Integer):
    """An integer in a query string: decimal digits with an optional minus, nothing else."""

    _DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        between = validate.Range(
            min=minimum, max=maximum, error=f"Must be between {minimum} and {maximum}."
        )
        super().__init__(validate=between, **kwargs)

    def _validated(self, value: Any) -> Any:
        if not isinstance(value, str) or not self._DECIMAL.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return int(value)


class Flag(fields.Boolean):
    """A JSON true or false."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class FlagParameter(fields.Boolean):
    """`true` or `false` in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid", input=value)
        return bool(value == "true")


class Timestamp(fields.Field[datetime]):
    """An RFC 3339 time with its offset, turned into UTC; written with `Z`."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own protocol
        "invalid": "Not a valid RFC 3339 time.",
        "offset": "The time needs an offset, such as Z or +02:00.",
        "range": "The time is out of range.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        if not isinstance(value, str) or len(value) > 40:
            raise self.make_error("invalid")
        if not _RFC3339.fullmatch(value):
            raise self.make_error("offset" if _RFC3339.fullmatch(value + "Z") else "invalid")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except OverflowError:
            raise self.make_error("range") from None
        except ValueError:
            raise self.make_error("invalid") from None

    def _serialize(
        self, value: datetime | None, attr: str | None, obj: Any, **_: Any
    ) -> str | None:
        if value is None:
            return None
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Uuid(fields.UUID):
    """A UUID in its canonical form of 36 characters."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        if not isinstance(value, str) or not _CANONICAL_UUID.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)
