"""What a wall clock that steps does to the time by which things expire."""

from __future__ import annotations

import time

import pytest

from shared.clock import time_not_going_back


def test_time_does_not_go_back_with_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    before = time_not_going_back()
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    assert time_not_going_back() >= before


def test_a_clock_that_comes_right_again_is_believed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3_600)
    ahead = time_not_going_back()
    monkeypatch.undo()
    assert time_not_going_back() < ahead - 3_000
