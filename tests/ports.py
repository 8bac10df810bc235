"""Ports for servers that tests start."""

import itertools
import os
import socket

# Below the ports that systems give to outgoing connections: one of those may take any port from
# there between our look and the server's start.
_FIRST, _COUNT = 20_000, 10_000
# Test processes run side by side, so each begins somewhere else.
_numbers = itertools.count(os.getpid() * 211)


def free_port() -> int:
    """A port that nobody listens on, and that this process has not handed out lately."""
    while True:
        port = _FIRST + next(_numbers) % _COUNT
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
