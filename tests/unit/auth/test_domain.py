from datetime import timedelta

import pytest

from services.auth.domain import LockoutPolicy, normal_email


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@@example.com",
        "a da@example.com",
        "ada@example.com ",
        "ada@example.com\n",
        "ada@example..com",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "ada@-example.com",
        "ada@example-.com",
        "ada@example.1",
        "ada@[127.0.0.1]",
        '"ada"@example.com',
        "ada\r\nBcc: x@example.com",
        "ａda@example.com",
        "adı@example.com",
        "ada@exämple.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".com",
        "ada@" + "a.b" * 90 + ".com",
        "ada\x00@example.com",
    ],
)
def test_no_address(text: str) -> None:
    assert normal_email(text) is None


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace+Tasks@Example.COM", "ada.lovelace+tasks@example.com"),
        ("x@xn--exmple-cua.com", "x@xn--exmple-cua.com"),
        ("a" * 64 + "@b.c", "a" * 64 + "@b.c"),
    ],
)
def test_an_address_has_one_spelling(text: str, normal: str) -> None:
    assert normal_email(text) == normal


@pytest.mark.parametrize(
    ("failures", "minutes"),
    [(0, None), (1, None), (4, None), (5, 15), (6, None), (10, 30), (15, 60), (50, 1440)],
)
def test_each_further_lock_is_twice_as_long_up_to_the_longest(
    failures: int, minutes: int | None
) -> None:
    policy = LockoutPolicy(failures=5, first=timedelta(minutes=15), longest=timedelta(hours=24))
    expected = None if minutes is None else timedelta(minutes=minutes)
    assert policy.lock_after(failures) == expected


def test_a_counter_of_any_size_and_any_setting_has_a_lock() -> None:
    policy = LockoutPolicy(failures=1, first=timedelta(days=300), longest=timedelta(days=90_000))
    assert policy.lock_after(10**9) == timedelta(days=90_000)
