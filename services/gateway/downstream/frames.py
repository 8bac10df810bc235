"""Follows the frames of a WebSocket (RFC 6455 section 5.2) without touching them.

The gateway passes a WebSocket on as bytes. Only to say goodbye when it stops must it know whether
one frame has ended and the next has not begun: a close frame in the middle of another is garbage.
"""

from __future__ import annotations

# Status 1001, "going away" (RFC 6455 section 7.4.1). What goes to a server has to be masked, be it
# with zeros.
GOING_AWAY = b"\x88\x02\x03\xe9"
GOING_AWAY_MASKED = b"\x88\x82\x00\x00\x00\x00\x03\xe9"


class Tunnel:
    """Both directions of a WebSocket, and its end when the gateway stops."""

    __slots__ = ("_down", "_up")

    def __init__(self) -> None:
        self._down = Frames()
        self._up = Frames()

    def goes_down(self, data: bytes) -> None:
        """Bytes on their way to the client."""
        self._down.feed(data)

    def goes_up(self, data: bytes) -> None:
        """Bytes on their way to the service."""
        self._up.feed(data)

    def goodbye(self) -> tuple[bytes, bytes]:
        """What may be said to the client and to the service as a last word."""
        down = GOING_AWAY if self._down.is_between else b""
        return down, GOING_AWAY_MASKED if self._up.is_between else b""


class Frames:
    """One direction of a WebSocket."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""  # the beginning of a frame's head
        self._left = 0  # bytes of the frame still to come

    @property
    def is_between(self) -> bool:
        """Whether a frame may be put in here."""
        return not self._head and not self._left

    def feed(self, data: bytes) -> None:
        """More bytes have gone by."""
        position, end = 0, len(data)
        while position < end:
            if self._left:
                taken = min(self._left, end - position)
                self._left -= taken
                position += taken
                continue
            # A head has at most 14 bytes.
            missing = 14 - len(self._head)
            head = self._head + data[position : position + missing]
            size = _frame_size(head)
            if size is None:
                self._head = head
                return
            self._left = size - len(self._head)
            self._head = b""


def _frame_size(head: bytes) -> int | None:
    """Bytes of the whole frame that begins with `head`; None while that is not known."""
    if len(head) < 2:
        return None
    length, extended = head[1] & 0x7F, 0
    if length >= 126:
        extended = 2 if length == 126 else 8
        if len(head) < 2 + extended:
            return None
        length = int.from_bytes(head[2 : 2 + extended])
    return 2 + extended + (4 if head[1] & 0x80 else 0) + length
