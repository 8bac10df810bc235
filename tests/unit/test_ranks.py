"""The rank test sees a difference that is there, and none that is not."""

from __future__ import annotations

import random

import pytest

from tests.ranks import mann_whitney


def test_figures_worked_out_by_hand() -> None:
    # Ranks 1, 2, 3 against 4, 5: U is 0 of 6, its deviation the root of 3.
    z, p = mann_whitney([1, 2, 3], [4, 5])
    assert z == pytest.approx(-3 / 3**0.5)
    assert p == pytest.approx(0.0833, abs=1e-4)
    assert mann_whitney([1, 1], [1, 1]) == (0.0, 1.0)


def test_a_small_shift_in_much_noise_is_found_and_none_is_not() -> None:
    source = random.Random(1)
    one, same, later = (
        [source.gauss(middle, 1.0) for _ in range(150)] for middle in (10.0, 10.0, 11.0)
    )
    assert mann_whitney(one, same)[1] > 1e-6
    assert mann_whitney(one, later)[1] < 1e-6
