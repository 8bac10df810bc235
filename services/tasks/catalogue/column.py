"""A column of numbers, one of each place, held as a set of places for each of their bits.

So a comparison is made for all places at once, and what comes first in an order is found by halves.
"""

from __future__ import annotations

from services.tasks.catalogue.bits import packed, widened

_DIGITS = tuple(
    bytes(ord("1") if byte >> bit & 1 else ord("0") for byte in range(256))
    for bit in reversed(range(8))
)


class Column:
    """Numbers from nought, less than 2 ** `width`. A place without a value is not in `known`."""

    def __init__(self, width: int) -> None:
        self.known = 0
        self.slices: list[int] = [0] * width  # the highest bit first

    def fill(self, byte: int, values: bytes) -> None:
        """Sets eight bits of all values, of which `values` has that byte, from the highest on."""
        before = -len(self.slices) % 8
        for at, digits in enumerate(_DIGITS, 8 * byte - before):
            if at >= 0:
                self.slices[at] = packed(values.translate(digits))

    def put(self, place: int, value: int | None) -> None:
        """Gives a place another value, or none."""
        mask = 1 << place
        self.known = self.known | mask if value is not None else self.known & ~mask
        rest = value or 0
        for bit in range(len(self.slices) - 1, -1, -1):
            held = self.slices[bit]
            if bool(held & mask) != rest & 1:
                self.slices[bit] = held ^ mask
            rest >>= 1

    def widen(self, place: int) -> None:
        """Makes room for a place before `place`."""
        self.known = widened(self.known, place)
        self.slices = [widened(bits, place) for bits in self.slices]

    def below(self, value: int, among: int) -> int:
        """The places of `among` with a value less than that."""
        return self._compared(value, among)[0]

    def equal(self, value: int, among: int) -> int:
        """The places of `among` with that value."""
        return self._compared(value, among)[1]

    def at_most(self, value: int, among: int) -> int:
        """The places of `among` with that value or a lesser one."""
        below, equal = self._compared(value, among)
        return below | equal

    def at_least(self, value: int, among: int) -> int:
        """The places of `among` with that value or a greater one."""
        return among & self.known ^ self.below(value, among)

    def above(self, value: int, among: int) -> int:
        """The places of `among` with a greater value."""
        return among & self.known ^ self.at_most(value, among)

    def _compared(self, value: int, among: int) -> tuple[int, int]:
        below, equal = 0, among & self.known
        for bits, shift in zip(self.slices, range(len(self.slices) - 1, -1, -1), strict=True):
            if not equal:
                break
            ones = equal & bits
            if value >> shift & 1:
                below |= equal ^ ones
                equal = ones
            else:
                equal ^= ones
        return below, equal
