"""The processes of a measurement: started on given cores, watched through /proc, stopped."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.confine import confined

ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class NotMeasured(Exception):
    """A process did not start or did not answer; the message says which and what it printed."""


@contextlib.contextmanager
def started(
    command: list[str], cores: frozenset[int], log: Path, environment: Mapping[str, str] = {}
) -> Iterator[int]:
    """A process on `cores` with its output in `log`; its id. Ended after the block.

    An empty variable is an unset one. Addresses in our own environment are not handed on: they
    are those of other systems.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    given = {name: value for name, value in {**inherited, **environment}.items() if value}
    before = os.sched_getaffinity(0)
    with log.open("wb") as output:
        # The child inherits them; set from here there is no moment in which it runs elsewhere.
        os.sched_setaffinity(0, cores)
        try:
            process = subprocess.Popen(
                confined(command, death_signal=signal.SIGTERM),
                cwd=ROOT,
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        finally:
            os.sched_setaffinity(0, before)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python(*arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", *arguments]


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def await_status(url: str, wanted: int, log: Path, headers: Mapping[str, str] = {}) -> None:
    """Returns once GET `url` gives the status. Raises `NotMeasured` when it does not."""
    parts = urlsplit(url)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
        try:
            connection.request("GET", parts.path, headers=dict(headers))
            found = str(connection.getresponse().status)
        except (OSError, http.client.HTTPException) as error:
            found = repr(error)
        finally:
            connection.close()
        if found == str(wanted):
            return
        if time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
            raise NotMeasured(f"{url} gives {found}, not {wanted}:\n{tail}")
        time.sleep(0.05)


def cpu_seconds(process_id: int) -> float:
    """User and system time of a process and of all below it, those that ended too."""
    total = 0
    for one in [process_id, *_below(process_id)]:
        with contextlib.suppress(OSError):
            fields = _stat(one)
            # utime, stime; cutime and cstime are those of children that were waited for.
            total += sum(map(int, fields[11:15]))
    return total / _TICKS


def resident_bytes(process_id: int) -> int:
    """Memory of one process that is not swapped out."""
    pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    return int(pages) * _PAGE


def _below(process_id: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found: list[int] = []
    left = [process_id]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _stat(process_id: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything."""
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
