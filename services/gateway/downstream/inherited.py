"""A listening socket that somebody else has opened (systemd's protocol of socket activation).

Whoever holds the socket keeps its queue: while one gateway ends and the next one starts, clients
wait there instead of being refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

FIRST = 3  # the descriptor that sd_listen_fds(3) names


def inherited_listener(environment: Mapping[str, str] = os.environ) -> socket.socket | None:
    """The socket that LISTEN_FDS hands over; None where LISTEN_PID names another process.

    Raises ValueError when there is not exactly one, or when it does not listen.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environment.get("LISTEN_FDS") != "1":
        raise ValueError("LISTEN_FDS: exactly one socket is taken")
    try:
        found = socket.socket(fileno=FIRST)
    except OSError as error:
        raise ValueError(f"LISTEN_FDS: descriptor {FIRST} is no socket: {error}") from error
    if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.close()
        raise ValueError(f"LISTEN_FDS: descriptor {FIRST} does not listen")
    found.setblocking(False)
    return found
