"""Tasks in and out as files."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from aiohttp import web

from services.tasks.handlers.idempotent import run_once
from services.tasks.handlers.keys import IMPORT_TURNS, IMPORTS, LISTS
from services.tasks.handlers.owner import owner_of
from services.tasks.schemas.transfer import ImportAnswer
from services.tasks.transfer.formats import FORMATS, Format
from services.tasks.transfer.intake import Intake
from services.tasks.usecases import imports, lists
from shared.answers import encode
from shared.endpoints import Given
from shared.errors import JSON, PayloadTooLarge

MAX_IMPORT_BYTES = 67_108_864


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None: ...


async def import_tasks(request: web.Request, given: Given) -> web.StreamResponse:
    owner_id = owner_of(request, given)
    digest = hashlib.sha256()
    with Intake() as intake:
        # The whole file is read before the database is asked: a slow sender holds no connection.
        read = format_of(request, given).read
        await read(digested(chunks_of(request, MAX_IMPORT_BYTES), digest), intake)

        async def store() -> web.StreamResponse:
            report = await imports.import_tasks(
                request.app[IMPORTS], owner_id, intake, dry_run=given.query["dry_run"]
            )
            return web.Response(body=encode(report, ImportAnswer), content_type=JSON)

        # Before anything is asked of the database: who waits holds no connection.
        async with imports.importing(request.app[IMPORT_TURNS]):
            return await run_once(request, digest.digest(), store)


async def export_tasks(request: web.Request, given: Given) -> web.StreamResponse:
    form = FORMATS[given.query["format"]]
    batches = lists.export_tasks(request.app[LISTS], owner_of(request, given))
    # The first batch is read before the answer begins, so that a failure is still a clean error.
    first: list[Any] = await anext(batches, [])
    answer = web.StreamResponse(
        headers={
            "Content-Type": form.media_type,
            "Content-Disposition": f'attachment; filename="tasks.{form.extension}"',
            "Cache-Control": "private, no-store",
        }
    )
    await answer.prepare(request)
    if request.method != "HEAD":
        await answer.write(form.head + b"".join(map(form.write, first)))
        async for batch in batches:
            await answer.write(b"".join(map(form.write, batch)))
        await answer.write(form.tail)
    await answer.write_eof()
    return answer


def format_of(request: web.Request, given: Given) -> Format:
    """The format that the query names, or else the one of the Content-Type."""
    name = given.query["format"]
    if name is not None:
        return FORMATS[name]
    media = request.content_type.lower()
    matching = (form for form in FORMATS.values() if form.media_type == media)
    return next(matching, FORMATS["jsonl"])


async def chunks_of(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises PayloadTooLarge once it is known to exceed `limit` bytes."""
    refusal = PayloadTooLarge(details={"body": [f"At most {limit} bytes."]})
    if (request.content_length or 0) > limit:
        raise refusal
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise refusal
        yield chunk


async def digested(chunks: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    """The chunks, each put into `digest` as it passes."""
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk
