import json
import re
from pathlib import Path

import pytest

from services.auth.passwords import strength
from services.auth.passwords.strength import PASSWORD_PATTERN, weakness

OWNER = ("Grace Hopper", "grace.hopper@example.com")


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "PASSWORD1234!",
        "P@ssw0rd2024!!",
        "passwordpassword",
        "letmeinletmeinletmein",
        "qwerty123456",
        "qwertyuiop12",
        "1q2w3e4r5t6y",
        "123456789012",
        "210987654321",
        "abcdefghijklm",
        "administrator1",
        "iloveyou2024",
        "tasklane2026",
        "tasklanetasklane",
    ],
)
def test_what_everybody_tries_is_refused(password: str) -> None:
    assert weakness(password, owner=OWNER) == strength.TOO_COMMON


@pytest.mark.parametrize(
    "password",
    [
        "grace.hopper@example.com",
        "Grace Hopper",
        "GraceHopper1",
        "grace.hopper12!",
        "gracehopper99",
    ],
)
def test_the_owners_own_names_are_refused(password: str) -> None:
    assert weakness(password, owner=OWNER) == strength.TOO_COMMON
    if "@" not in password:
        assert weakness(password, owner=("Ada Lovelace", "ada@example.com")) is None


@pytest.mark.parametrize(
    "password",
    [
        "seven-lazy-otters-paint",
        "correct horse battery staple",
        "k3VhJ2pQz9xW",
        "Tr0ub4dor&3xyz",
        "dragon48210957",
        "000000000001",
        "        9    ",
        "密碼密碼密碼密碼密碼一二三",
    ],
)
def test_anything_else_of_the_right_length_is_taken(password: str) -> None:
    assert weakness(password, owner=OWNER) is None


@pytest.mark.parametrize(
    "password", ["aaaaaaaaaaaa", "abababababab", "1234123412341234", "\n" * 12]
)
def test_the_schema_says_what_a_short_pattern_over_and_over_is(password: str) -> None:
    assert re.search(PASSWORD_PATTERN, password) is None


def test_the_longest_password_costs_no_quadratic_time_to_judge() -> None:
    calls = 0
    original = strength._run_length

    def counted(text: str, start: int) -> int:
        nonlocal calls
        calls += 1
        return original(text, start)

    strength._run_length = counted
    try:
        weakness("ab" * 64, owner=OWNER)
    finally:
        strength._run_length = original
    assert calls <= 2 * strength.LONGEST


def test_the_word_list_is_lower_case_letters_and_has_no_word_twice() -> None:
    path = Path(strength.__file__).with_name("common_words.txt")
    words = path.read_text(encoding="utf-8").split()
    assert len(words) == len(set(words)), sorted({w for w in words if words.count(w) > 1})
    assert all(word == word.casefold() for word in words), json.dumps(words)
