"""A closed-loop client: each connection sends the next request when the last one is answered.

Good for throughput and CPU per request, not for latency: it waits together with a slow server.
`python -m bench.load` is a program of its own so that it can have a core of its own.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

import uvloop

from bench.wire import NO_ANSWER, Connection, Request

_PAUSE_SECONDS = 0.05
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """What a run of load achieved; an error is no answer, or one that is no 2xx.

    `faults` has the errors by their kind, in the words of who made the load.
    """

    requests: int
    errors: int
    seconds: float
    faults: dict[str, int] = field(default_factory=dict)


class Load:
    """So many connections that keep one server busy until the time is up.

    They send the requests in turn, and after the last one the first again.
    """

    def __init__(self, requests: Sequence[Request], connections: int) -> None:
        self._address = requests[0].address
        self._requests_to_send = cycle([request.encode() for request in requests])
        self._connections = connections
        self._open: set[Connection] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._requests = 0
        self._faults: Counter[str] = Counter()
        self._running = True
        self._ended = asyncio.Event()  # the first request, well or not

    async def run(self, seconds: float) -> Served:
        """Loads the server for `seconds`."""
        began = time.monotonic()
        for _ in range(self._connections):
            self._connect()
        await asyncio.sleep(seconds)
        # A measurement of nothing says nothing: whoever is slow gets the time for one request.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _PATIENCE_SECONDS)
        self._running = False
        took = time.monotonic() - began
        for connection in self._open:
            connection.close()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        return Served(self._requests, self._faults.total(), took, dict(self._faults))

    def _connect(self) -> None:
        job = asyncio.ensure_future(self._start())
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _start(self) -> None:
        while self._running:
            with contextlib.suppress(OSError):
                connection = await Connection.open(self._address, self._done)
                self._open.add(connection)
                connection.send(next(self._requests_to_send))
                return
            self._ended.set()
            self._faults["connect"] += 1
            # A server that refuses connections is not asked in a tight loop.
            await asyncio.sleep(_PAUSE_SECONDS)

    def _done(self, connection: Connection, status: int) -> None:
        if not self._requests:
            self._ended.set()
        if status == NO_ANSWER:
            self._faults["no answer"] += 1
        else:
            self._requests += 1
            if not 200 <= status < 300:
                self._faults[f"status {status}"] += 1
        if not self._running:
            return
        if connection.usable:
            connection.send(next(self._requests_to_send))
            return
        self._open.discard(connection)
        self._connect()


def request_options(parser: argparse.ArgumentParser) -> None:
    """The options that describe a request."""
    parser.add_argument("--url", required=True)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--headers", default="{}", help="a JSON object")
    parser.add_argument("--body", default="")
    parser.add_argument("--seconds", type=float, required=True)


def request_of(options: argparse.Namespace) -> Request:
    """The request that the options describe."""
    return Request(options.url, options.method, json.loads(options.headers), options.body)


def write_requests(file: Path, requests: Sequence[Request]) -> None:
    """Writes requests for `--walk`."""
    file.write_text(json.dumps([asdict(request) for request in requests]))


def main() -> None:
    """Prints what was served as JSON."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    request_options(parser)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--walk", type=Path, help="a JSON file of requests to send instead")
    options = parser.parse_args()
    requests = [request_of(options)]
    if options.walk:
        requests = [Request(**fields) for fields in json.loads(options.walk.read_text())]
    load = Load(requests, options.connections)
    served = uvloop.run(load.run(options.seconds))
    json.dump(asdict(served), sys.stdout)


if __name__ == "__main__":
    main()
