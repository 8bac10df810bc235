"""What has been revoked, and for how long its absence is believed."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from services.gateway.identity.revoked import Revocation, Revoked
from shared.errors import ServiceUnavailable
from shared.identity import Principal, principal_of
from tests import tokens

SESSION = UUID("0199a6f0-c0de-7000-8000-000000000002")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def principal(**changes: object) -> Principal:
    return principal_of(tokens.claims(sid=str(SESSION), **changes))


def test_a_session_that_has_ended_is_covered_and_no_other() -> None:
    revoked = Revoked(followed=True)
    revoked.take([Revocation(uuid4(), None, 0.0)])
    assert not revoked.covers(principal())
    revoked.take([Revocation(SESSION, None, 0.0)])
    assert revoked.covers(principal())


def test_tokens_from_before_an_epoch_are_covered_whatever_the_order_of_the_news() -> None:
    revoked = Revoked(followed=True)
    revoked.take([Revocation(tokens.USER, 3, 0.0), Revocation(tokens.USER, 2, 0.0)])
    assert [revoked.covers(principal(epoch=epoch)) for epoch in (1, 2, 3)] == [True, True, False]


def test_nobody_is_believed_before_the_feed_is_known_nor_long_after_it_fell_silent() -> None:
    clock = Clock()
    revoked = Revoked(followed=True, stale_seconds=300.0, now=clock)
    with pytest.raises(ServiceUnavailable):
        revoked.check()
    revoked.learn([])
    with pytest.raises(ServiceUnavailable):
        revoked.check()
    revoked.take([])
    clock.now += 300.0
    revoked.check()
    clock.now += 0.1
    with pytest.raises(ServiceUnavailable):
        revoked.check()
    revoked.take([])
    revoked.check()


def test_a_gateway_that_follows_no_feed_serves() -> None:
    Revoked(followed=False).check()


def test_what_no_longer_matters_is_forgotten() -> None:
    clock = Clock()
    revoked = Revoked(followed=True, kept_seconds=100.0, now=clock)
    revoked.take([Revocation(SESSION, None, 0.0), Revocation(tokens.USER, 1, 0.0)])
    clock.now += 50.0
    revoked.take([Revocation(tokens.USER, 2, 0.0)])
    clock.now += 50.0
    revoked.take([])
    assert not revoked.covers(principal(epoch=2))
    assert revoked.covers(principal(epoch=1))
    clock.now += 50.0
    revoked.take([])
    assert len(revoked) == 0


def test_a_feed_that_begins_anew_leaves_nothing() -> None:
    revoked = Revoked(followed=True)
    revoked.take([Revocation(SESSION, None, 0.0), Revocation(tokens.USER, 1, 0.0)])
    revoked.clear()
    assert not revoked.covers(principal())
    assert len(revoked) == 0
