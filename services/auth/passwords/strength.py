"""Which passwords are too easy to guess. Length is the schema's matter; there are no classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

SHORTEST, LONGEST = 12, 128

# One to four characters over and over, or U+0000. It stands in the schema, where a client sees it.
PASSWORD_PATTERN = r"^(?!([^\u0000]{1,4})\1+$)[^\u0000]*$"  # noqa: S105 - a rule, not a secret
TOO_REGULAR = "Must not be a short pattern over and over."
TOO_COMMON = "Too easy to guess: a common word, keyboard run, or name or address of yours."

# What may stand beside the easy part: `password1234!` is as common as `password`.
_MOST_LEFT_OVER = 3
_SHORTEST_RUN = 3
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiop[]", "asdfghjkl;'",
    "zxcvbnm,./", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "!@#$%^&*()",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
    "zaq1xsw2cde3vfr4bgt5nhy6mju7", "qazwsxedcrfvtgbyhnujm", "1a2b3c4d5e6f7g8h9i",
    "a1b2c3d4e5f6g7h8i9",
)  # fmt: skip
_YEAR = re.compile(r"(?:19|20)\d\d")
_SAME = re.compile(r"(.)\1{2,}", re.DOTALL)
_DECORATED = re.compile(r"([\W\d_]*)(.*?)([\W\d_]*)", re.DOTALL)
_DISGUISES = str.maketrans("013457@$!|+", "oleastasilt")


def weakness(password: str, *, owner: Iterable[str]) -> str | None:
    """Why `password` is refused, or None. `owner` are the names and addresses of its owner.

    Refused is what leaked lists are full of: one word, once or repeated, letters disguised as
    digits or not, with a few characters or a run before or after it; and runs alone.
    """
    lowered = password.casefold()
    if _left_over(lowered, _YEAR) <= _MOST_LEFT_OVER:
        return TOO_COMMON
    parts = _DECORATED.fullmatch(lowered)
    assert parts is not None
    before, core, after = parts.groups()
    if sum(_left_over(side, _YEAR, _SAME) for side in (before, after)) > _MOST_LEFT_OVER:
        return None
    words = _common_words() | frozenset(_owners_words(owner))
    if any(unit in words for unit in _units(core)):
        return TOO_COMMON
    return None


def _units(core: str) -> Iterator[str]:
    """What `core` is a repetition of, itself among them; with disguised letters undone too."""
    for spelling in (core, core.translate(_DISGUISES)):
        for times in range(1, len(spelling) // 3 + 1):
            unit = spelling[: len(spelling) // times]
            if unit * times == spelling:
                yield unit


def _left_over(text: str, *easy: re.Pattern[str]) -> int:
    """How many characters of `text` belong to no keyboard run and to none of the `easy` things."""
    covered = [False] * len(text)
    for start in range(len(text)):
        length = _run_length(text, start)
        covered[start : start + length] = [True] * length
    for pattern in easy:
        for found in pattern.finditer(text):
            covered[found.start() : found.end()] = [True] * len(found.group())
    return covered.count(False)


def _run_length(text: str, start: int) -> int:
    """The length of the longest piece of a run, forwards or backwards, that begins at `start`."""
    longest = 0
    for run in _runs_of(text[start : start + _SHORTEST_RUN]):
        length = _SHORTEST_RUN
        while start + length < len(text) and text[start : start + length + 1] in run:
            length += 1
        longest = max(longest, length)
    return longest


def _owners_words(owner: Iterable[str]) -> Iterator[str]:
    for text in owner:
        lowered = text.casefold()
        yield lowered
        yield lowered.partition("@")[0]
        yield re.sub(r"\s", "", lowered)


def _runs_of(piece: str) -> tuple[str, ...]:
    return _runs_by_piece().get(piece, ())


@cache
def _runs_by_piece() -> dict[str, tuple[str, ...]]:
    """Every run, in both directions, under each of its pieces of the least length."""
    found: dict[str, tuple[str, ...]] = {}
    for run in (run for forward in _RUNS for run in (forward, forward[::-1])):
        for at in range(len(run) - _SHORTEST_RUN + 1):
            piece = run[at : at + _SHORTEST_RUN]
            if run not in found.get(piece, ()):
                found[piece] = (*found.get(piece, ()), run)
    return found


@cache
def _common_words() -> frozenset[str]:
    """Bases of the passwords that leaked lists are full of, and our own name."""
    text = Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8")
    return frozenset({"tasklane", *text.split()})
