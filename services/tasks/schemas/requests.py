"""What both versions take beside a body."""

from __future__ import annotations

from marshmallow import fields

from services.tasks.schemas.task_fields import Cursor, Sort
from shared.fields import FlagParameter, Text, Timestamp, Uuid, WholeParameter
from shared.schemas import HeaderSchema, StrictSchema

MAX_PAGE = 10_000_000
MAX_SKIP = 1_000_000_000
MAX_PAGE_SIZE = 100


class TaskRef(StrictSchema):
    """The task that a path names."""

    task_id = Uuid(required=True)


class OwnerQuery(StrictSchema):
    """Whose tasks are meant."""

    owner_id = Uuid(metadata={"description": "Another user; for admins only."})


class ListQueryV1(OwnerQuery):
    """A list of v1, cut by rows."""

    skip = WholeParameter(minimum=0, maximum=MAX_SKIP, load_default=0)
    limit = WholeParameter(minimum=1, maximum=MAX_PAGE_SIZE, load_default=10)
    completed = FlagParameter()


class ListQuery(OwnerQuery):
    """A list of v2, cut into pages."""

    page = WholeParameter(
        minimum=1, maximum=MAX_PAGE, metadata={"description": "1 unless said; not with a cursor."}
    )
    page_size = WholeParameter(minimum=1, maximum=MAX_PAGE_SIZE, load_default=20)
    cursor = Cursor()
    sort = Sort()
    completed = FlagParameter()
    priority = WholeParameter(minimum=1, maximum=5)
    min_priority = WholeParameter(minimum=1, maximum=5)
    max_priority = WholeParameter(minimum=1, maximum=5)
    due_before = Timestamp(metadata={"description": "Due earlier than this."})
    due_after = Timestamp(metadata={"description": "Due later than this."})
    created_after = Timestamp(metadata={"description": "Created later than this."})
    updated_after = Timestamp(metadata={"description": "Changed later than this."})
    label = Text(minimum=1, maximum=50, metadata={"description": "Has this label."})
    parent_id = Uuid(metadata={"description": "Stands directly below this task."})
    q = Text(
        minimum=1,
        maximum=200,
        metadata={
            "description": "Words of title and description, all of them in any order. "
            '`"…"` asks for a phrase, `or` for either of two words, `-` for none of a word.'
        },
    )


class PageQuery(OwnerQuery):
    """A list that is only cut into pages."""

    page = WholeParameter(minimum=1, maximum=MAX_PAGE, load_default=1)
    page_size = WholeParameter(minimum=1, maximum=MAX_PAGE_SIZE, load_default=20)


class ConditionalRead(HeaderSchema):
    """RFC 9110 section 13.1.2."""

    if_none_match = fields.String(
        data_key="If-None-Match",
        metadata={"description": "Entity tags that you have; a match is answered 304."},
    )
