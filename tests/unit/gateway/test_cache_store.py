"""Stored answers: which one answers, and that they never take more than their room."""

from __future__ import annotations

import pytest

from services.gateway.cache import store as module
from services.gateway.cache.store import Entry, Key, Store, values_of
from services.gateway.exchange import Exchange
from tests.unit.gateway.exchanges import exchange


def key(target: str) -> Key:
    return Key("tasks", target.encode(), (b"a.example", None, None))


def entry(body: bytes = b"", *, vary: str = "", request: Exchange | None = None) -> Entry:
    names = tuple(vary.encode().split())
    return Entry([], body, names, values_of(request or exchange(), names), 0.0, 60.0)


def test_the_least_recently_used_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TARGETS", 2)
    store = Store()
    for target in ("/a", "/b"):
        store.put(key(target), entry())
    assert store.find(key("/a"), exchange()) is not None
    store.put(key("/c"), entry())
    found = [store.find(key(target), exchange()) is not None for target in ("/a", "/b", "/c")]
    assert found == [True, False, True]


def test_bytes_are_bounded_and_counted_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    store = Store()
    for number in range(20):
        store.put(key(f"/{number % 5}"), entry(b"x" * 4_000))
        assert 4_000 <= store.bytes <= 10_000
    store.put(key("/large"), entry(b"x" * 20_000))
    assert store.bytes == 0


def test_variants_are_bounded_and_chosen_by_what_they_vary_on() -> None:
    store = Store()
    requests = [exchange(accept_language=f"l{number}") for number in range(20)]
    for request in requests:
        store.put(key("/a"), entry(vary="accept-language", request=request))
    found = [store.find(key("/a"), request) is not None for request in requests]
    assert found == [False] * (20 - module.MOST_VARIANTS) + [True] * module.MOST_VARIANTS
    assert store.find(key("/a"), exchange()) is None
    store.put(key("/a"), entry(b"all"))
    assert store.find(key("/a"), requests[-1]) == entry(b"all")


def test_a_path_is_dropped_with_all_its_queries() -> None:
    store = Store()
    for target in ("/a", "/a?x=1", "/ab"):
        store.put(key(target), entry())
    store.drop("auth", b"/a")
    assert store.find(key("/a"), exchange()) is not None
    store.drop("tasks", b"/a")
    found = [store.find(key(target), exchange()) is not None for target in ("/a", "/a?x=1", "/ab")]
    assert found == [False, False, True]
