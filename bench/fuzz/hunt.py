"""Sends mutated requests and looks at everything that comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from random import Random

from bench.fuzz.answers import BadAnswer, read_answers
from bench.fuzz.corpus import SEEDS, TOKEN
from bench.fuzz.growth import SAMPLES, Footprint, footprint, growth
from bench.fuzz.mutations import mutated, pieces
from bench.fuzz.target import SWITCHED, Target

# How a client behaves once it has sent everything.
_STAYS, _FINISHES, _BREAKS_OFF = "stays", "finishes", "breaks off"
_ENDINGS = (_STAYS,) * 3 + (_FINISHES,) * 6 + (_BREAKS_OFF,)
_PATIENCE_SECONDS = 300.0  # a connection that is open for longer hangs; every bound is far shorter
_MOST_FINDINGS = 20
_LATE_SECONDS = 0.2  # below the idle time-out of the target
_EVERY_SOCKET = 20  # one case of so many goes through a real socket
_ADDRESSES = 4096  # so that what the gateway keeps of each comes to an end


@dataclass(frozen=True, slots=True)
class Case:
    """One connection's worth of bytes; the same seed and number always give the same."""

    number: int
    origin: str
    names: tuple[str, ...]
    data: bytes
    parts: tuple[bytes, ...]
    ending: str
    address: str

    def __str__(self) -> str:
        changes = ", ".join(self.names)
        return f"case {self.number} ({self.origin}; {changes}; client {self.ending}): {self.data!r}"


@dataclass
class Findings:
    """What a hunt has come to."""

    cases: int = 0
    sockets: int = 0
    late: int = 0
    sent: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    footprints: list[Footprint] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def report(self, case: Case, problem: str) -> None:
        """Something that must not happen has happened."""
        self.problems.append(f"{problem}\n    {str(case)[:1500]}")


def make_case(seed: int, number: int, token: bytes) -> Case:
    """Case `number` of the hunt that `seed` begins."""
    chance = Random(seed * 1_000_000_007 + number)
    corpus = [request for request, _ in SEEDS.values()]
    origin = chance.choice(list(SEEDS))
    data, names = mutated(SEEDS[origin][0], chance, corpus)
    data = data.replace(TOKEN, token)
    # Most come from an address that is theirs for a while; some share a network and its limits.
    one = number % _ADDRESSES
    address = f"10.0.{one >> 8}.{one & 255}"
    if number % _EVERY_SOCKET == 0:
        # Any address of this machine's own network may be the source of a connection.
        address = f"127.1.{one >> 8}.{one % 254 + 1}"
    elif chance.random() < 0.1:
        address = f"2001:db8::{number & 0xFFFF:x}"
    ending = chance.choice(_ENDINGS)
    parts = tuple(pieces(data, chance))
    return Case(number, origin, tuple(names), data, parts, ending, address)


async def hunt(
    target: Target,
    requests: int,
    *,
    seed: int = 0,
    first: int = 0,
    at_once: int = 200,
    seconds: float = math.inf,
) -> Findings:
    """Runs `requests` cases from number `first` on.

    It ends early after so many `seconds`, or when it has found enough.
    """
    end = time.monotonic() + seconds
    found = Findings()
    numbers = count(first)
    step = max(1, requests // SAMPLES)
    await run_case(target, make_case(seed, first, target.token), Findings())
    tasks = len(asyncio.all_tasks())

    async def work() -> None:
        while found.cases < requests and len(found.problems) < _MOST_FINDINGS:
            if time.monotonic() > end:
                break
            found.cases += 1
            if found.cases % step == 0:
                found.footprints.append(footprint(found.cases))
            await run_case(target, make_case(seed, next(numbers), target.token), found)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, requests)):
            group.create_task(work())
    await _settle(target, tasks, found)
    return found


async def run_case(target: Target, case: Case, found: Findings) -> None:
    """One connection, from its first byte to its end."""
    found.endings[case.ending] += 1
    found.sent += len(case.data)
    found.mutations.update(case.names)
    by_socket = case.number % _EVERY_SOCKET == 0
    found.sockets += by_socket
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            stream, late = await (_by_socket if by_socket else _by_memory)(target, case)
    except TimeoutError:
        found.report(case, "the connection hangs")
        return
    judge(case, stream, found, late=late)
    found.problems += [f"logged: {line}" for line in target.logged]
    found.problems += [f"reached the service: {fault}" for fault in target.origin.faults]
    if target.logged or target.origin.faults:
        found.report(case, "or a case at the same time as this")
    target.logged.clear()
    target.origin.faults.clear()


def judge(case: Case, stream: bytes, found: Findings, *, late: bool) -> None:
    """Holds what a client got against what it may get.

    On a machine that stands still for a moment a client is `late`: it may find itself shut out
    for having been idle.
    """
    found.late += late
    try:
        answers = read_answers(stream, heads=b"HEAD" in case.data, cut=case.ending == _BREAKS_OFF)
    except BadAnswer as bad:
        found.report(case, f"{bad}\n    answered: {stream[:600]!r}")
        return
    found.statuses.update(answer.status for answer in answers)
    for answer in answers:
        seen = answer.fields.get(b"x-seen")
        shared = b"cache-status" in answer.fields
        if seen is not None and not _was_asked(case, seen, shared=shared):
            found.report(case, f"the answer to another request: {seen!r}")
    # Who waits gets an answer; only one that has asked for nothing is left without a word.
    waits = case.ending == _STAYS and not late
    if waits and not answers and case.data not in (b"", b"\r\n"):
        found.report(case, "closed without an answer")


def _was_asked(case: Case, seen: bytes, *, shared: bool) -> bool:
    """Whether `case` has sent what the service saw: from this address, to this path.

    An answer that is `shared` may have been asked for by somebody else before.
    """
    address, _, target = seen.partition(b" ")
    return (shared or address.decode() == case.address) and target[3:] in case.data


async def _by_memory(target: Target, case: Case) -> tuple[bytes, bool]:
    began = time.monotonic()
    wire = target.open(case.address)
    for part in case.parts:
        await wire.send(part)
    late = time.monotonic() - began > _LATE_SECONDS
    if case.ending == _BREAKS_OFF:
        wire.break_off()
    elif case.ending == _FINISHES:
        wire.finish()
    else:
        await wire.ended.wait()
        wire.finish()
    await wire.closed.wait()
    return bytes(wire.received), late


async def _by_socket(target: Target, case: Case) -> tuple[bytes, bool]:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", target.server.port, local_addr=(case.address, 0)
    )
    stream, late = b"", True
    try:
        # Whatever a broken connection says to one who still writes; ENOTCONN is a plain OSError.
        with contextlib.suppress(OSError):
            for part in case.parts:
                writer.write(part)
                await writer.drain()
            await asyncio.sleep(0)
            late = time.monotonic() - began > _LATE_SECONDS
            if case.ending == _BREAKS_OFF:
                writer.transport.abort()
            elif case.ending == _FINISHES:
                writer.write_eof()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                stream += data
                if SWITCHED in stream:
                    break
    finally:
        writer.close()
    return stream, late


async def _settle(target: Target, tasks: int, found: Findings) -> None:
    """Everything has come to its end: connections, calls and tasks."""
    for _ in range(200):
        if not target.leftovers() and len(asyncio.all_tasks()) <= tasks:
            break
        await asyncio.sleep(0.05)
    else:
        found.problems.append(
            f"left over: {target.leftovers()}, {len(asyncio.all_tasks())} tasks, {tasks} before"
        )
    found.problems += growth(found.footprints)
