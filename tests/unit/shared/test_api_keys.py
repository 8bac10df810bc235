"""The form of API keys."""

from __future__ import annotations

import pytest

from shared.api_keys import PREFIX, api_key_hash, is_api_key, new_api_key

GOOD = "tl_live_PXJuZoNUMv9GF3M5bLVaxnJbZXztma0RUY7o"


def test_a_made_key_has_the_form_and_no_two_are_alike() -> None:
    keys = {new_api_key() for _ in range(100)}
    assert len(keys) == len({api_key_hash(key) for key in keys}) == 100
    assert all(is_api_key(key) and key.isascii() for key in keys)


@pytest.mark.parametrize("position", range(len(GOOD)))
def test_one_wrong_character_anywhere_is_seen(position: int) -> None:
    other = "A" if GOOD[position] != "A" else "B"
    assert not is_api_key(GOOD[:position] + other + GOOD[position + 1 :])


@pytest.mark.parametrize(
    "junk",
    ["", PREFIX, GOOD[:-1], GOOD + "0", f" {GOOD}", f"{GOOD}\n", GOOD.upper(), "x" * 100_000,
     GOOD.replace("tl_live_", "tl_test_"), "tl_live_" + "é" * 36, "tl_live_" + "٣" * 36],
)  # fmt: skip
def test_junk_is_none(junk: str) -> None:
    assert not is_api_key(junk)
