"""Cursors: where a walk through a list goes on, sealed so that it fits that walk only."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.tasks.domain import CursorRefused, Place, SortKey

_SEAL_BYTES = 16
_READ: Mapping[str, Callable[[Any], Any]] = {
    "due_date": datetime.fromisoformat,
    "created_at": datetime.fromisoformat,
    "updated_at": datetime.fromisoformat,
    "id": UUID,
}


class Walk:
    """One walk: whose tasks, which of them, in which order. `key` is the secret of the seals."""

    def __init__(
        self, key: bytes, owner_id: UUID, filters: Mapping[str, Any], sort: Sequence[SortKey]
    ) -> None:
        self._key = key
        self._fields = (*(one.field for one in sort), "id")
        order = [(one.field, one.descending) for one in sort]
        self._bound = orjson.dumps([owner_id, sorted(filters.items()), order])

    def cursor(self, last: Any, relevance: float | None = None) -> str:
        """The cursor of what follows the task `last`, of this relevance where that orders."""
        values = [
            relevance if field == "relevance" else getattr(last, field) for field in self._fields
        ]
        place = orjson.dumps(values, default=str)
        return urlsafe_b64encode(self._seal(place) + place).decode().rstrip("=")

    def place(self, cursor: str) -> Place | None:
        """Where `cursor` stands; None for the empty one. Raises CursorRefused for all but ours."""
        if not cursor:
            return None
        try:
            sealed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            raise CursorRefused("Not a cursor of this list.") from None
        seal, place = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(place)):
            raise CursorRefused("Not a cursor of this list, with these filters and this sort.")
        values = orjson.loads(place)
        return [
            value if value is None else _READ.get(field, _as_it_is)(value)
            for field, value in zip(self._fields, values, strict=True)
        ]

    def _seal(self, place: bytes) -> bytes:
        text = len(self._bound).to_bytes(4, "big") + self._bound + place
        return hmac.digest(self._key, text, hashlib.sha256)[:_SEAL_BYTES]


def _as_it_is(value: Any) -> Any:
    return value
