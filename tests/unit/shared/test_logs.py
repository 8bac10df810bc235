"""Log lines: one JSON object each, whatever is logged and however it fails."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import orjson
import pytest

from shared.logs import AccessLog

PROGRAM = """
import logging, warnings
import structlog
from shared import logs
from shared.request_id import current_request_id

logs.configure("sample", "INFO")
log = structlog.get_logger("sample")
plain = logging.getLogger("library")
{body}
"""


def lines_of(body: str) -> list[dict[str, Any]]:
    """What a process that runs `body` writes to standard output, each line read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_values_that_are_no_json_lose_no_line() -> None:
    lines = lines_of(
        "log.warning('odd', text='\\ud800', number=2**70, pair={('a',): 1}, thing=object())\n"
        "log.warning('next')"
    )
    assert [line["event"] for line in lines] == ["odd", "next"]
    assert lines[0]["text"] == "?"
    assert lines[0]["number"] == 2**70


def test_an_exception_is_one_line_whatever_its_text() -> None:
    (line,) = lines_of(
        "try:\n    raise ValueError('first\\nsecond \\udc80')\n"
        "except ValueError:\n    log.exception('failed')"
    )
    assert line["level"] == "error"
    assert "Traceback" in line["exception"]
    assert "first\nsecond ?" in line["exception"]


def test_the_request_id_is_in_every_line() -> None:
    first, second, third, fourth = lines_of(
        "log.info('before')\n"
        "current_request_id.set('r-1')\n"
        "log.info('during')\n"
        "plain.warning('a %s', 'library')\n"
        "log.info('own', request_id='r-2')"
    )
    assert "request_id" not in first
    assert second["request_id"] == "r-1"
    assert third["request_id"] == "r-1"
    assert fourth["request_id"] == "r-2"
    assert third["event"] == "a library"
    assert {line["service"] for line in (first, second, third, fourth)} == {"sample"}
    assert all(line["time"].endswith("Z") for line in (first, second, third, fourth))


def test_lines_below_the_level_and_aiohttps_own_access_lines_are_left_out() -> None:
    lines = lines_of(
        "log.debug('no')\nplain.debug('no')\n"
        "logging.getLogger('aiohttp.access').info('no')\nlog.info('yes')"
    )
    assert [line["event"] for line in lines] == ["yes"]


def test_the_standard_librarys_exceptions_are_json_too() -> None:
    (line,) = lines_of("try:\n    1 / 0\nexcept ZeroDivisionError:\n    plain.exception('failed')")
    assert "ZeroDivisionError" in line["exception"]


class Broken(io.BytesIO):
    def write(self, data: Any) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("fault", ["broken", "closed"])
def test_a_pipe_that_is_gone_loses_lines_and_nothing_else(fault: str) -> None:
    stream = Broken() if fault == "broken" else io.BytesIO()
    if fault == "closed":
        stream.close()
    log = AccessLog("sample", stream=stream)
    for _ in range(3):
        log.write({"path": "/"})
        log.flush()


def test_access_lines_are_held_until_there_are_enough() -> None:
    stream = io.BytesIO()
    log = AccessLog("sample", stream=stream, flush_bytes=400)
    log.write({"path": "/1"})
    assert stream.getvalue() == b""
    for at in range(2, 6):
        log.write({"path": f"/{at}"})
    assert stream.getvalue().endswith(b"\n")
    log.flush()
    log.flush()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["path"] for line in lines] == ["/1", "/2", "/3", "/4", "/5"]
    assert {line["event"] for line in lines} == {"request"}
    assert lines[0]["time"].endswith("Z")


class Writes(io.BytesIO):
    """Keeps what each write had."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[bytes] = []

    def write(self, block: Any) -> int:
        self.blocks.append(bytes(block))
        return super().write(block)


def test_lines_into_a_shared_pipe_go_out_whole() -> None:
    stream = Writes()
    log = AccessLog("sample", stream=stream, write_bytes=250)
    for at in range(7):
        log.write({"path": f"/{at}" + (500 * "a" if at == 3 else "")})
    log.flush()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["path"][:2] for line in lines] == [f"/{at}" for at in range(7)]
    assert all(block.endswith(b"\n") for block in stream.blocks)
    assert [block.count(b"\n") for block in stream.blocks] == [2, 1, 1, 2, 1]
    assert [len(block) > 250 for block in stream.blocks] == [False, False, True, False, False]


def test_an_access_line_of_odd_values_is_still_a_line() -> None:
    stream = io.BytesIO()
    log = AccessLog("sample", stream=stream)
    log.write({"path": "/\udc80", "user_id": 2**70})
    log.flush()
    assert orjson.loads(stream.getvalue())["path"] == "/?"
