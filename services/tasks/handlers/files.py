"""Tasks in and out as files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Protocol

from aiohttp import StreamReader, web

from services.tasks.handlers.idempotent import run_once
from services.tasks.handlers.keys import IMPORT_TURNS, IMPORTS, LISTS
from services.tasks.handlers.owner import owner_of
from services.tasks.schemas.transfer import ImportAnswer
from services.tasks.transfer.formats import FORMATS, Format
from services.tasks.transfer.intake import Intake
from services.tasks.usecases import imports, lists
from shared.answers import encode
from shared.endpoints import Given
from shared.errors import JSON, PayloadTooLarge, RequestTimeout
from shared.middleware import PRINCIPAL, client_left

MAX_IMPORT_BYTES = 67_108_864
# Parsed between two looks at whether the sender is still there: some milliseconds of work.
PIECE_BYTES = 8_192
# A sender holds a turn that others wait for. Bytes a second, and seconds that he may be behind.
LEAST_RATE = 32_768
GRACE_SECONDS = 10.0


class Digest(Protocol):
    """A running hash."""

    def update(self, data: bytes, /) -> None: ...


async def import_tasks(request: web.Request, given: Given) -> web.StreamResponse:
    owner_id = owner_of(request, given)
    left = partial(client_left, request)
    digest = hashlib.sha256()
    # Who waits for his turn holds no connection, and of his file what the socket has taken.
    async with request.app[IMPORT_TURNS].turn(request[PRINCIPAL].user_id, left):
        with Intake() as intake:
            # The whole file is read before the database is asked: a slow sender holds none.
            read = format_of(request, given).read
            await read(digested(chunks_of(request, MAX_IMPORT_BYTES), digest), intake)

            async def store() -> web.StreamResponse:
                report = await imports.import_tasks(
                    request.app[IMPORTS],
                    owner_id,
                    intake,
                    check=presence(request),
                    dry_run=given.query["dry_run"],
                )
                return web.Response(body=encode(report, ImportAnswer), content_type=JSON)

            return await run_once(request, digest.digest(), store)


async def export_tasks(request: web.Request, given: Given) -> web.StreamResponse:
    form = FORMATS[given.query["format"]]
    batches = lists.export_tasks(request.app[LISTS], owner_of(request, given), presence(request))
    # The first batch is read before the answer begins, so that a failure is still a clean error.
    first = b"".join(map(form.write, await anext(batches, [])))
    answer = web.StreamResponse(
        headers={
            "Content-Type": form.media_type,
            "Content-Disposition": f'attachment; filename="tasks.{form.extension}"',
            "Cache-Control": "private, no-store",
        }
    )
    await answer.prepare(request)
    if request.method != "HEAD":
        await answer.write(form.head + first)
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


def presence(request: web.Request) -> Callable[[], None]:
    """A check that raises ConnectionResetError once the client has left."""

    def check() -> None:
        if client_left(request):
            raise ConnectionResetError("the client has left")

    return check


async def chunks_of(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives, in small pieces as long as its sender is there.

    Raises PayloadTooLarge once it is known to exceed `limit` bytes, RequestTimeout when it comes
    too slowly, and ConnectionResetError when its sender has left.
    """
    check = presence(request)
    refusal = PayloadTooLarge(details={"body": [f"At most {limit} bytes."]})
    if (request.content_length or 0) > limit:
        raise refusal
    size = 0
    async for chunk in paced(request.content):
        size += len(chunk)
        if size > limit:
            raise refusal
        for start in range(0, len(chunk), PIECE_BYTES):
            check()
            yield chunk[start : start + PIECE_BYTES]


async def paced(content: StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a body; the time between them that is ours does not count.

    Raises RequestTimeout when its sender stays behind the least rate by more than the grace.
    """
    now = asyncio.get_running_loop().time
    left = GRACE_SECONDS
    while True:
        began = now()
        try:
            async with asyncio.timeout(left):
                chunk = await content.readany()
        except TimeoutError:
            raise RequestTimeout from None
        except ConnectionError as error:
            # The body keeps its error, and with the traceback that would keep the body: all that
            # has arrived of it stayed in memory until somebody collects the garbage.
            raise ConnectionResetError("the client has left") from error.with_traceback(None)
        if not chunk:
            return
        left = min(GRACE_SECONDS, left - (now() - began) + len(chunk) / LEAST_RATE)
        yield chunk


async def digested(chunks: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    """The chunks, each put into `digest` as it passes."""
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk
