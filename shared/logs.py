"""JSON log lines on standard output, each with the service and the request id."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any, BinaryIO

import structlog

from shared.clock import utc_now
from shared.json_text import dump_anything
from shared.request_id import current_request_id

EventDict = MutableMapping[str, Any]


def _add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    request_id = current_request_id.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def configure(service: str, level: str) -> None:
    """Sends structlog's and the standard library's records to stdout as JSON, one object a line."""

    def add_service(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared_steps: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        add_service,
        _add_request_id,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared_steps, structlog.processors.JSONRenderer(serializer=_dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared_steps, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_dumps_text),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Every request already has an access line of ours.
    logging.getLogger("aiohttp.access").disabled = True


def _dumps(event: EventDict, **_: Any) -> bytes:
    return dump_anything(event)


def _dumps_text(event: EventDict, **_: Any) -> str:
    return _dumps(event).decode()


class AccessLog:
    """One line per request, written without a logging framework: it is on the hot path.

    Lines are held for at most `flush_bytes` bytes; the owner calls `flush` on a timer and at exit.
    With `write_bytes`, one write has no more than that, in whole lines: processes that write to
    one pipe tear each other's lines beyond PIPE_BUF. A single line may be longer.
    """

    def __init__(
        self,
        service: str,
        *,
        stream: BinaryIO | None = None,
        flush_bytes: int = 8192,
        write_bytes: int | None = None,
    ) -> None:
        self._start = dump_anything({"event": "request", "level": "info", "service": service})[:-1]
        self._stream = stream if stream is not None else sys.stdout.buffer
        self._flush_bytes = flush_bytes
        self._write_bytes = write_bytes
        self._lines: list[bytes] = []
        self._held = 0

    def write(self, fields: dict[str, Any], encoded: bytes = b"") -> None:
        """Appends one line made of `fields`, the time, the level and the service.

        `encoded` are more fields as JSON, each with a comma before it. `fields` is not the caller's
        any more.
        """
        fields["time"] = utc_now()
        line = self._start + encoded + b"," + dump_anything(fields)[1:]
        self._lines.append(line)
        self._held += len(line)
        if self._held >= self._flush_bytes:
            self.flush()

    def flush(self) -> None:
        """Writes what is held. A closed or full pipe loses lines, never a request."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        self._held = 0
        try:
            for block in _blocks(lines, self._write_bytes):
                self._stream.write(block)
                self._stream.flush()
        except (OSError, ValueError):
            return


def _blocks(lines: list[bytes], most_bytes: int | None) -> Iterator[bytes]:
    """The lines, ended and joined, as many at a time as fit into `most_bytes`."""
    if most_bytes is None:
        yield b"\n".join(lines) + b"\n"
        return
    block = b""
    for line in lines:
        if block and len(block) + len(line) + 1 > most_bytes:
            yield block
            block = b""
        block += line + b"\n"
    yield block
