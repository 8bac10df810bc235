"""Cutting a stream of bytes into lines without ever holding more than one of them."""

from __future__ import annotations

from collections.abc import Iterator

# The longest task that is valid, with every character as a pair of \\u escapes, is half of this.
MAX_LINE_BYTES = 262_144
_FOLDS = (b" ", b"\t")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineSplitter:
    """Yields `(number, line)`, counted from 1; blank lines are left out but counted.

    A line of more than `maximum` bytes comes out as None, and its bytes are not kept. With
    `quoted` a newline between two double quotes ends no line (RFC 4180 section 2), and a line
    counts by where it begins. With `folded` a line that begins with a blank is not left out: it
    goes on with the one before (RFC 5545 section 3.1).
    """

    def __init__(
        self, maximum: int = MAX_LINE_BYTES, *, quoted: bool = False, folded: bool = False
    ) -> None:
        self._maximum = maximum
        self._quoted = quoted
        self._folded = folded
        self._newlines = 0
        self._rest = bytearray()
        self._number = 0
        self._too_long = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that end in `chunk`."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._keep(piece)
            if self._quoted and not self._too_long and self._rest.count(b'"') % 2:
                self._keep(b"\n")
                self._newlines += 1
            else:
                yield from self._take()
        self._keep(rest)

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, when it does not end in a newline."""
        if self._rest or self._too_long:
            yield from self._take()

    def _keep(self, piece: bytes) -> None:
        if self._too_long or len(self._rest) + len(piece) > self._maximum:
            self._too_long = True
            self._rest.clear()
        else:
            self._rest += piece

    def _take(self) -> Iterator[tuple[int, bytes | None]]:
        self._number += 1
        number = self._number
        self._number += self._newlines
        self._newlines = 0
        line, too_long = bytes(self._rest), self._too_long
        self._rest.clear()
        self._too_long = False
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if too_long:
            yield number, None
        elif line.strip() or (self._folded and line.startswith(_FOLDS)):
            yield number, line
