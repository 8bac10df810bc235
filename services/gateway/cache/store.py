"""Stored answers in memory: bounded in number and bytes, the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from services.gateway.exchange import Exchange, Headers

MOST_BYTES = 16 * 1024 * 1024  # in all
MOST_TARGETS = 1_000
MOST_VARIANTS = 8  # of one target
MOST_BODY = 256 * 1024  # bytes of the largest answer that is kept
_OVERHEAD = 500  # bytes of the objects around one entry, about


@dataclass(frozen=True, slots=True)
class Key:
    """What a request asks for, as the service gets to know it."""

    upstream: str
    target: bytes
    authority: tuple[bytes | None, ...]  # the host, and host and scheme as a proxy has said

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]


@dataclass(slots=True)
class Entry:
    """A complete 200. Times are seconds of the stage's clock; `born` may be before the gateway."""

    headers: Headers
    body: bytes
    names: tuple[bytes, ...]  # the request fields of its Vary
    values: tuple[bytes, ...]  # and what the request said there
    born: float
    until: float

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        fields = sum(len(name) + len(value) + 100 for name, value in self.headers)
        return _OVERHEAD + fields + len(self.body) + sum(map(len, self.values))


def values_of(exchange: Exchange, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What a request says in the fields `names`."""
    return tuple(b", ".join(exchange.header_values(name)) for name in names)


class Store:
    """Entries by key and by what the request fields in their Vary were."""

    def __init__(self) -> None:
        self._targets: OrderedDict[Key, list[Entry]] = OrderedDict()
        self.bytes = 0

    def find(self, key: Key, exchange: Exchange) -> Entry | None:
        """The entry that answers the request, fresh or not."""
        for entry in self._targets.get(key, ()):
            if values_of(exchange, entry.names) == entry.values:
                self._targets.move_to_end(key)
                return entry
        return None

    def put(self, key: Key, entry: Entry) -> None:
        """Keeps `entry` in place of the one for the same requests."""
        others = [
            other
            for other in self._remove(key)
            # A changed Vary means that the service chooses by something else than before.
            if other.names == entry.names and other.values != entry.values
        ]
        kept = self._targets[key] = [*others[1 - MOST_VARIANTS :], entry]
        self.bytes += sum(one.size for one in kept)
        while self.bytes > MOST_BYTES or len(self._targets) > MOST_TARGETS:
            self._remove(next(iter(self._targets)))

    def drop(self, upstream: str, path: bytes) -> None:
        """Forgets what is at `path`, whatever the query."""
        for key in [one for one in self._targets if one.upstream == upstream and one.path == path]:
            self._remove(key)

    def clear(self) -> None:
        """Forgets everything."""
        self._targets.clear()
        self.bytes = 0

    def _remove(self, key: Key) -> list[Entry]:
        entries = self._targets.pop(key, [])
        self.bytes -= sum(entry.size for entry in entries)
        return entries
