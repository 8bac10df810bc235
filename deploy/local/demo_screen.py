"""What the person who runs the demo sees: numbered steps, tables and a progress bar."""

import shutil
import sys
from collections.abc import Generator, Iterable, Sequence
from typing import TextIO

_INDENT = "    "
_BAR = 30
# A wider terminal makes a table no easier to read.
_WIDEST, _NARROWEST = 120, 60


class Screen:
    """Lines on one stream; a bar that moves only where the stream is a terminal."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._step = 0
        self.is_terminal = stream.isatty()
        self.width = max(_NARROWEST, min(shutil.get_terminal_size((100, 24)).columns, _WIDEST))

    def title(self, text: str) -> None:
        """The first line."""
        self._print(text)

    def step(self, text: str) -> None:
        """Opens the next step."""
        self._step += 1
        self._print(f"\n{self._step:>2}  {text}")

    def say(self, text: str) -> None:
        """One line of a step, whatever its length."""
        self._print(_INDENT + printable(text))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]], *, wide: int) -> None:
        """Rows below `heads`; the column number `wide` is cut to what the line has room for."""
        cells = [[printable(str(cell)) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        others = sum(widths) - widths[wide] + 2 * (len(widths) - 1)
        widths[wide] = min(widths[wide], max(20, self.width - len(_INDENT) - others))
        for row in ([*heads], ["-" * width for width in widths], *cells):
            line = "  ".join(cut(cell, width).ljust(width) for cell, width in zip(row, widths))  # noqa: B905
            self._print((_INDENT + line).rstrip())

    def progress(self, pieces: Iterable[bytes], size: int) -> Generator[bytes, None, None]:
        """Passes `pieces` on and shows how much of `size` bytes went by.

        The line is finished when the pieces are, or when the generator is closed before that.
        """
        sent = lines = 0
        try:
            for piece in pieces:
                yield piece
                sent += len(piece)
                lines += piece.count(b"\n")
                if self.is_terminal:
                    self._stream.write("\r" + _INDENT + bar(sent, size, lines))
                    self._stream.flush()
        finally:
            start = "\r" if self.is_terminal else ""
            self._print(start + _INDENT + bar(sent, size, lines))

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def bar(sent: int, size: int, lines: int) -> str:
    """`[#####.....]  50 %  200 of 401 KiB  258 lines`."""
    share = sent / size if size else 1.0
    full = round(share * _BAR)
    return (
        f"[{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}  "
        f"{sent / 1024:.0f} of {size / 1024:.0f} KiB  {lines} lines"
    )


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would obey instead of show."""
    return "".join(char if char.isprintable() else " " for char in text)


def cut(text: str, width: int) -> str:
    """At most `width` characters."""
    return text if len(text) <= width else text[: width - 3] + "..."
