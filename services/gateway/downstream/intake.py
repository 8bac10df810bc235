"""The body of a request as it comes in: decoded, counted, bounded."""

from __future__ import annotations

import math

from services.gateway.downstream.head import RequestHead
from services.gateway.framing import Chunked, Counted, Decoder, UntilClose
from shared.errors import PayloadTooLarge


class Intake:
    """Takes a request's body off the wire. `decoder` is None where there is no body (any more)."""

    __slots__ = ("decoder", "discards", "held", "limit", "paced", "received")

    def __init__(self, head: RequestHead) -> None:
        self.decoder: Decoder | None = None
        if head.chunked:
            self.decoder = Chunked()
        elif head.content_length:
            self.decoder = Counted(head.content_length)
        self.received = 0  # bytes of payload
        self.limit: float = 0
        self.held = True  # nothing is taken until somebody wants it
        self.paced = True  # whether it has to come at a least rate
        self.discards = False  # the answer is decided, the rest of the body is of no interest

    @property
    def is_over(self) -> bool:
        """Whether the whole request has been read."""
        return self.decoder is None

    def takes(self) -> bool:
        """Whether more of the body can be fed."""
        return self.decoder is not None and not self.held

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The payload in `data`, and what comes after the body.

        Raises BadFraming, and PayloadTooLarge for a body that is past `limit`, or says that it
        will be.
        """
        decoder = self.decoder
        assert decoder is not None
        payload = decoder.feed(data)
        self.received += len(payload)
        if decoder.finished:
            self.decoder = None
        if self.received + decoder.remaining > self.limit and not self.discards:
            raise PayloadTooLarge
        return payload, decoder.rest

    def take_whole(self, body: bytes) -> None:
        """Books a counted body that is all there: nothing of it has to be decoded."""
        self.received = len(body)
        self.decoder = None

    def discard(self, at_most: int) -> bool:
        """Reads on without interest, if little enough is left; says whether it does."""
        decoder = self.decoder
        if decoder is None:
            return True
        if not isinstance(decoder, Counted) or decoder.remaining > at_most:
            return False
        self.discards = True
        self.held = False
        return True

    def switch_protocol(self) -> None:
        """What comes from now on belongs to another protocol, and has no end of its own."""
        self.decoder = UntilClose()
        self.limit = math.inf
        self.paced = False
        self.held = False
