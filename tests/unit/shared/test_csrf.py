"""CSRF tokens."""

from __future__ import annotations

import pytest

from shared.csrf import is_csrf_token, new_csrf_token

KEY = b"one session"
GOOD = new_csrf_token(KEY)


def test_each_token_is_new_and_all_are_good() -> None:
    tokens = {new_csrf_token(KEY) for _ in range(100)}
    assert len(tokens) == 100
    assert all(is_csrf_token(KEY, token) for token in tokens)
    assert not any(is_csrf_token(b"another session", token) for token in tokens)


@pytest.mark.parametrize("position", range(0, len(GOOD), 7))
def test_a_changed_token_is_none(position: int) -> None:
    other = "A" if GOOD[position] != "A" else "B"
    assert not is_csrf_token(KEY, GOOD[:position] + other + GOOD[position + 1 :])


@pytest.mark.parametrize("junk", ["", "=" * 64, "é" * 64, "x" * 63, " " * 64, "A" * 64])
def test_junk_is_none(junk: str) -> None:
    assert not is_csrf_token(KEY, junk)
