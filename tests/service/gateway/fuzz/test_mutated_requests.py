"""Mutated requests at the whole gateway: every one gets an answer of the contract's, or none.

`python -m bench.fuzz` sends a million of them; here run as many as take a few seconds.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fuzz.answers import BadAnswer, read_answers
from bench.fuzz.corpus import SEEDS, TOKEN
from bench.fuzz.growth import Footprint, footprint, growth
from bench.fuzz.hunt import Case, Findings, hunt, make_case, run_case
from bench.fuzz.mutations import mutated
from bench.fuzz.target import target
from services.gateway import pipeline

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2500"))
OK = (
    b"HTTP/1.1 200 OK\r\ndate: x\r\nx-request-id: r\r\nx-content-type-options: nosniff\r\n"
    b"content-length: 2\r\n\r\nok"
)


def untouched(name: str, data: bytes, number: int) -> Case:
    # By a number that is no multiple of twenty the case goes through memory.
    return Case(number * 20 + 1, name, (), data, (data,), "stays", f"10.9.0.{number}")


async def test_the_corpus_is_answered_as_it_says() -> None:
    wrong: list[str] = []
    async with target() as gateway:

        async def ask(number: int, name: str) -> None:
            request, statuses = SEEDS[name]
            found = Findings()
            data = request.replace(TOKEN, gateway.token)
            await run_case(gateway, untouched(name, data, number), found)
            if found.problems or found.statuses != Counter(statuses):
                wrong.append(f"{name}: {dict(found.statuses)} {found.problems}")

        await asyncio.gather(*(ask(number, name) for number, name in enumerate(SEEDS, 1)))
        assert wrong == []


async def test_mutated_requests_find_nothing() -> None:
    async with target() as gateway:
        found = await hunt(gateway, REQUESTS, seed=20260521, at_once=200)
    assert found.problems == []
    assert found.cases >= REQUESTS
    assert found.sockets >= REQUESTS // 20
    # The hunt reaches all that is behind the parser, not only its refusals.
    assert {101, 200, 204, 400, 401, 404, 405, 408, 413, 414, 429, 431} <= set(found.statuses)


class OwnLoop:
    """A gateway on a loop that lives across the examples of one test."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._target = target()
        self._gateway = self._runner.run(self._target.__aenter__())
        self._number = 0

    def run(self, data: bytes, pieces: tuple[bytes, ...]) -> Findings:
        self._number += 1
        address = f"10.8.{self._number >> 8}.{self._number & 255}"
        case = Case(self._number * 20 + 1, "hypothesis", (), data, pieces, "finishes", address)
        found = Findings()
        self._runner.run(run_case(self._gateway, case, found))
        return found

    def close(self) -> None:
        self._runner.run(self._target.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def own_loop() -> Iterator[OwnLoop]:
    loop = OwnLoop()
    yield loop
    loop.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from([request for request, _ in SEEDS.values()]),
            st.binary(max_size=40),
            st.sampled_from([b"\r\n", b"GET ", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"]),
        ),
        min_size=1,
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 2_000), max_size=6),
    chance=st.integers(0, 1 << 32),
)
def test_whatever_hypothesis_thinks_of(
    own_loop: OwnLoop, parts: list[bytes], cuts: list[int], chance: int
) -> None:
    corpus = [request for request, _ in SEEDS.values()]
    data, _ = mutated(b"".join(parts), Random(chance), corpus)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = tuple(data[begin:end] for begin, end in pairwise(edges))
    assert own_loop.run(data, pieces).problems == []


def test_the_same_seed_gives_the_same_cases() -> None:
    assert make_case(7, 3, b"t") == make_case(7, 3, b"t")
    assert make_case(7, 3, b"t") != make_case(8, 3, b"t")


# What the judges must see.


async def test_a_fault_of_the_gateway_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_exchange: object) -> None:
        raise ValueError("planted")

    async with target() as gateway:
        monkeypatch.setattr(pipeline, "split_version", broken)
        found = Findings()
        request = SEEDS["get"][0]
        await run_case(gateway, untouched("get", request, 1), found)
    assert any("status 500" in problem for problem in found.problems)
    assert any("planted" in problem for problem in found.problems)


async def test_what_must_not_reach_the_service_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.headers.HOP_BY_HOP", frozenset())
    monkeypatch.setattr("services.gateway.headers._passes", {})
    async with target() as gateway:
        found = Findings()
        request = SEEDS["expectation"][0]
        await run_case(gateway, untouched("expectation", request, 1), found)
    assert any("reached the service" in problem for problem in found.problems)


BAD_STREAMS = {
    "text": b"oops",
    "500": OK.replace(b"200 OK", b"500 Internal Server Error"),
    "no-request-id": OK.replace(b"x-request-id: r\r\n", b""),
    "two-lengths": OK.replace(b"date: x", b"content-length: 2\r\ndate: x"),
    "length-and-chunks": OK.replace(b"date: x", b"date: x\r\ntransfer-encoding: chunked"),
    "too-short": OK[:-1],
    "bytes-after-it": OK + b"more",
    "bare-line-feed": OK.replace(b"date: x\r\n", b"date: x\n"),
    "after-the-last": OK.replace(b"date: x", b"date: x\r\nconnection: close") + OK,
    "error-as-text": OK.replace(b"200 OK", b"404 Not Found"),
    "wrong-code": (
        b"HTTP/1.1 404 Not Found\r\ndate: x\r\nx-request-id: r\r\n"
        b"x-content-type-options: nosniff\r\ncontent-type: application/json\r\n"
        b"content-length: 82\r\n\r\n"
        b'{"error":{"code":"CONFLICT","message":"m","details":{},"request_id":"r"}}         '
    ),
}


@pytest.mark.parametrize("case", BAD_STREAMS)
def test_the_oracle_sees_bad_answers(case: str) -> None:
    assert [answer.status for answer in read_answers(OK + OK, heads=False, cut=False)] == [200] * 2
    with pytest.raises(BadAnswer):
        read_answers(BAD_STREAMS[case], heads=False, cut=False)


def grown(objects: float, blocks: float, resident: float) -> list[str]:
    """What is found in 200 000 cases that keep so much each, on top of tables that fill up."""
    return growth(
        [
            Footprint(
                cases,
                90_000 + int(objects * cases),
                300_000 + min(cases, 40_000) + int(blocks * cases),
                (80 << 20) + int(resident * cases),
            )
            for cases in range(10_000, 210_000, 10_000)
        ]
    )


def test_growth_is_found_by_what_is_counted() -> None:
    assert grown(0, 0, 0) == []
    assert grown(0.001, 0, 10) == []
    assert grown(0.05, 0, 0) == ["objects grew by 2500 in 50000 cases"]
    assert grown(0, 1, 0) == ["blocks grew by 50000 in 50000 cases"]
    assert grown(0, 0, 200) == ["resident grew by 10000000 in 50000 cases"]


def test_what_is_counted_is_what_is_kept() -> None:
    before = footprint(0)
    kept = [[number] for number in range(10_000)]
    after = footprint(1)
    assert after.objects - before.objects >= len(kept)
    assert after.blocks - before.blocks >= len(kept)
