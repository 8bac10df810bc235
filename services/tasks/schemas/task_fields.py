"""The fields of a task as input; each takes marshmallow's own options."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from services.tasks.domain import (
    MAX_DESCRIPTION,
    MAX_EXTERNAL_ID,
    MAX_LABEL,
    MAX_LABELS,
    MAX_PRIORITY,
    MAX_TITLE,
    MIN_PRIORITY,
    SORTABLE,
    SortKey,
)
from shared.fields import Text, Timestamp, Whole

_MAX_CURSOR = 4_000
_CURSOR = re.compile(rf"[A-Za-z0-9_-]{{0,{_MAX_CURSOR}}}", re.ASCII)
_SORT_FIELD = f"-?(?:{'|'.join(SORTABLE)})"
_SORT = re.compile(f"{_SORT_FIELD}(?:,{_SORT_FIELD}){{0,5}}")


def title(**options: Any) -> Text:
    return Text(minimum=1, maximum=MAX_TITLE, **options)


def description(maximum: int = MAX_DESCRIPTION, **options: Any) -> Text:
    return Text(maximum=maximum, allow_none=True, **options)


def priority(**options: Any) -> Whole:
    return Whole(
        minimum=MIN_PRIORITY,
        maximum=MAX_PRIORITY,
        metadata={"description": "5 is the most urgent."},
        **options,
    )


def due_date(**options: Any) -> Timestamp:
    return Timestamp(allow_none=True, **options)


def external_id(**options: Any) -> Text:
    return Text(
        minimum=1,
        maximum=MAX_EXTERNAL_ID,
        allow_none=True,
        metadata={"description": "Your own name for it; no two live tasks of yours share one."},
        **options,
    )


class Labels(fields.List[Any]):
    """Different labels, each of 1 to 50 characters, kept in their order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            Text(minimum=1, maximum=MAX_LABEL),
            validate=validate.Length(max=MAX_LABELS, error=f"At most {MAX_LABELS} labels."),
            metadata={"uniqueItems": True},
            **options,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        if len(value) > MAX_LABELS:
            raise ValidationError(f"At most {MAX_LABELS} labels.")
        labels = super()._deserialize(value, attr, data, **kwargs)
        if len(set(labels)) != len(labels):
            raise ValidationError("Must not name a label twice.")
        return labels


class Cursor(fields.String):
    """A place in a list, as the answer before gave it; empty for its beginning."""

    def __init__(self, **options: Any) -> None:
        about = (
            "Empty to begin a walk through the list; then, again and again, the `next_cursor` of "
            "the answer before, with the same filters and sort."
        )
        super().__init__(
            metadata={
                "pattern": "^[A-Za-z0-9_-]*$",
                "maxLength": _MAX_CURSOR,
                "description": about,
            },
            **options,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not _CURSOR.fullmatch(text):
            raise ValidationError("Not a cursor.")
        return text


class Nothing(fields.Field[None]):
    """A field that is there for what is to come: only null is allowed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_none=True, metadata={"enum": [None]}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> None:
        raise ValidationError("Must be null.")


class Sort(fields.String):
    """`-priority,due_date`: the first field decides, a minus turns its direction round."""

    def __init__(self, **options: Any) -> None:
        about = (
            f"Any of {', '.join(SORTABLE)}, separated by commas; a minus sorts downwards. Tasks "
            "without a due date come last in both directions. Among equals the id decides, in the "
            "direction of the last field. Without it the newest come first, and with `q` the best "
            "match: a word in the title tells more than one in the description, and words that "
            "more than 1,000 tasks have tell nothing."
        )
        metadata = {"pattern": f"^{_SORT.pattern}$", "description": about}
        super().__init__(metadata=metadata, **options)

    def _deserialize(  # type: ignore[override]
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[SortKey, ...]:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _SORT.fullmatch(text):
            raise ValidationError(f"Must be one to six of: {', '.join(SORTABLE)}.")
        return tuple(SortKey(name.lstrip("-"), name.startswith("-")) for name in text.split(","))
