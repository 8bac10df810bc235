"""The session of a browser, as far as the door is concerned."""

from __future__ import annotations

from shared.errors import Unauthorized


class SessionEnded(Unauthorized):
    """A session cookie that stands for nothing any longer; the answer clears it."""

    message = "The session has ended"

    def __init__(self, clear: str) -> None:
        super().__init__()
        self.headers["Set-Cookie"] = clear
