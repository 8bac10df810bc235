"""The bounds that a client meets before any policy does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Seconds, bytes and counts; a count of 0 means no bound."""

    header_timeout: float = 10.0  # from the first byte of a head to its last
    idle_timeout: float = 75.0  # between requests
    min_body_rate: float = 500.0  # bytes a second, of request bodies and of answers being read
    rate_grace: float = 5.0  # seconds that a body may stand still before its rate counts
    max_header_bytes: int = 16384
    max_target_bytes: int = 8192
    max_header_count: int = 100
    max_connections: int = 20000
    max_connections_per_address: int = 4096
    body_buffer: int = 65536  # a body up to this size is complete before a service sees it
    pipeline_buffer: int = 65536  # bytes read ahead of the request under way
    half_close_grace: float = 1.0  # between looks whether a client that closed its side is there
    linger_timeout: float = 1.0  # how long a refused client may go on sending
    tick: float = 0.25  # how often deadlines are looked at
