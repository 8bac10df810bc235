"""What the person at the terminal sees: progress, and the warnings out of the log files."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

# A file that grows past this is cut: the last part is kept as `.1`. Bytes.
LARGEST_LOG = 64 * 1024 * 1024
_LONGEST_LINE = 2_000
_LINES_AT_ONCE = 40
_SHOWN_LEVELS = frozenset({"warning", "error", "critical"})


def say(text: str) -> None:
    """Prints a line at once. A terminal that is gone is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def complain(text: str) -> None:
    """Prints a line to standard error at once."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


class LogFile:
    """The log of one process, read as it grows."""

    def __init__(
        self, name: str, path: Path, choose: Callable[[str], str | None] | None = None
    ) -> None:
        """`choose` gives what to show of a line, or None; the default reads our JSON lines."""
        self.name = name
        self._choose = choose or worth_showing
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cut()
        path.touch(mode=0o600)
        self._offset = path.stat().st_size
        self._run_began = self._offset
        self._rest = b""

    def show_warnings(self) -> None:
        """Prints what came since the last call and is a warning, worse, or no log line of ours."""
        lines = self._new_lines()
        shown = [text for text in map(self._choose, lines) if text is not None]
        for text in shown[:_LINES_AT_ONCE]:
            complain(f"{self.name:<12} {text}")
        if len(shown) > _LINES_AT_ONCE:
            complain(f"{self.name:<12} {len(shown) - _LINES_AT_ONCE} more in {self.path}")
        self._cut()

    def tail(self, count: int = 25) -> str:
        """The last lines that this run wrote, indented, as evidence in an error message."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._run_began, size - 32_768))
            lines = file.read().decode(errors="replace").splitlines()
        # What stands in the message need not be printed again.
        self._offset, self._rest = size, b""
        return "\n".join(f"    {line[:_LONGEST_LINE]}" for line in lines[-count:])

    def _new_lines(self) -> list[str]:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            new = file.read(1024 * 1024)
        self._offset += len(new)
        *lines, rest = (self._rest + new).split(b"\n")
        # A line without an end is not waited for for ever.
        self._rest = rest[-_LONGEST_LINE * 8 :]
        return [line.decode(errors="replace").rstrip() for line in lines]

    def _cut(self) -> None:
        if self.path.exists() and self.path.stat().st_size > LARGEST_LOG:
            shutil.copyfile(self.path, self.path.with_suffix(".log.1"))
            # The writers append, so that they go on at the new end.
            os.truncate(self.path, 0)
            self._offset = self._run_began = 0


def worth_showing(text: str) -> str | None:
    """What to show of a line of a service: warnings, errors, and what is no log line of ours."""
    if not text:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(text)
        if isinstance(record, dict) and "level" in record:
            if record["level"] not in _SHOWN_LEVELS:
                return None
            return _readable(record)[:_LONGEST_LINE]
    return text[:_LONGEST_LINE]


def _readable(record: dict[str, object]) -> str:
    known = {"level", "event", "time", "service", "exception"}
    facts = " ".join(f"{name}={value}" for name, value in record.items() if name not in known)
    head = f"{record['level']}: {record.get('event', '')} {facts}".rstrip()
    trace = record.get("exception")
    return f"{head}\n{trace}" if trace else head
