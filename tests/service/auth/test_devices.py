"""Known devices: neither locked out by others, nor a way around the lock."""

from __future__ import annotations

import pytest

from tests.service.auth.browsers import Browser
from tests.service.auth.conftest import PASSWORD, Auth, error_of

ADA = "ada@example.com"
WRONG = "seven-lazy-badgers-sing"
PATHS = pytest.mark.parametrize("path", ["login", "session-login"])


async def locked_from_afar(auth: Auth) -> None:
    """Somebody without a device of the account's has guessed too often."""
    for _ in range(5):
        assert (await auth.log_in(ADA, WRONG)).status == 401
    assert (await auth.log_in(ADA)).status == 423


async def known(auth: Auth) -> Browser:
    browser = Browser(auth)
    assert (await browser.log_in(ADA)).status == 200
    return browser


@PATHS
async def test_a_lock_by_others_leaves_the_known_browser_alone(auth: Auth, path: str) -> None:
    await auth.register(ADA)
    browser = await known(auth)
    await locked_from_afar(auth)
    assert (await browser.log_in(ADA, path=path)).status == 200
    # Its login does not lift the lock for those who guess.
    assert (await auth.log_in(ADA)).status == 423


async def test_a_registration_makes_its_browser_known(auth: Auth) -> None:
    browser = Browser(auth)
    body = {"name": "Ada", "email": ADA, "password": PASSWORD}
    assert (await browser.post("register", body)).status == 201
    await locked_from_afar(auth)
    assert (await browser.log_in(ADA)).status == 200


@PATHS
async def test_guesses_with_a_stolen_cookie_lock_that_device_and_nobody_else(
    auth: Auth, path: str
) -> None:
    await auth.register(ADA)
    owner = await known(auth)
    thief = Browser(auth)
    thief.cookies["device"] = (await known(auth)).cookies["device"]
    for _ in range(5):
        assert (await thief.log_in(ADA, WRONG, path=path)).status == 401
    assert await error_of(await thief.log_in(ADA, path=path)) == (423, "ACCOUNT_LOCKED")
    assert (await owner.log_in(ADA)).status == 200
    assert (await auth.log_in(ADA)).status == 200


async def test_a_cookie_of_one_account_is_nothing_to_another(auth: Auth) -> None:
    await auth.register(ADA)
    await auth.register("grace@example.com")
    browser = Browser(auth)
    await browser.log_in("grace@example.com")
    await locked_from_afar(auth)
    assert (await browser.log_in(ADA)).status == 423


async def test_a_cookie_that_is_not_ours_is_like_none(auth: Auth) -> None:
    await auth.register(ADA)
    browser = Browser(auth)
    for junk in ("junk", "tld_" + "A" * 48):
        browser.cookies["device"] = junk
        assert (await browser.log_in(ADA, WRONG)).status == 401
    rows = await auth.sql("SELECT failures FROM failed_guesses")
    assert [row["failures"] for row in rows] == [2]


async def test_a_login_forgets_the_failures_of_its_device(auth: Auth) -> None:
    await auth.register(ADA)
    browser = await known(auth)
    for _ in range(3):
        # Each login gives another device cookie; a failure leaves the one there is.
        for _ in range(4):
            assert (await browser.log_in(ADA, WRONG)).status == 401
        assert (await browser.log_in(ADA)).status == 200
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []


async def test_a_device_cookie_lets_nobody_in(auth: Auth) -> None:
    await auth.register(ADA)
    browser = await known(auth)
    headers = {"Cookie": f"__Host-device={browser.cookies['device']}"}
    answer = await auth.client.get("/v1/auth/profile", headers=headers)
    assert answer.status == 401
