"""Profile, logout and password change."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.service.auth.conftest import PASSWORD, Auth, Start, details_of, error_of

NEW = "eight-wise-herons-sing"
WRONG = "seven-lazy-badgers-sing"


async def patch(auth: Auth, token: str, body: Any) -> ClientResponse:
    return await auth.client.patch(
        "/v1/auth/profile", json=body, headers={"Authorization": f"Bearer {token}"}
    )


async def change(auth: Auth, token: str, current: str = PASSWORD, new: Any = NEW) -> ClientResponse:
    return await auth.post(
        "password", {"current_password": current, "new_password": new}, token=token
    )


async def test_without_a_token_nothing_is_shown_or_done(auth: Auth) -> None:
    for method, path in [
        ("GET", "profile"),
        ("PATCH", "profile"),
        ("POST", "logout"),
        ("POST", "password"),
    ]:
        answer = await auth.client.request(method, f"/v2/auth/{path}", json={})
        assert await error_of(answer) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_only_the_name_can_be_changed(auth: Auth) -> None:
    grant = await auth.register()
    headers = {"Authorization": f"Bearer {grant['access_token']}"}
    for body, field in [
        ({"email": "other@example.com"}, "email"),
        ({"role": "admin"}, "role"),
        ({"tier": "admin"}, "tier"),
        ({"is_active": False}, "is_active"),
        ({"name": None}, "name"),
        ({"name": "x"}, "name"),
        ([], "body"),
        ("Ada", "body"),
        (None, "body"),
    ]:
        answer = await auth.client.patch(
            "/v1/auth/profile",
            data="null" if body is None else None,
            json=body,
            headers={**headers, "Content-Type": "application/json"},
        )
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == [field]
        shown = await (await auth.profile(grant["access_token"])).json()
        assert shown == grant["user"]


async def test_a_name_is_changed_and_an_empty_patch_changes_nothing(auth: Auth) -> None:
    grant = await auth.register()
    answer = await patch(auth, grant["access_token"], {"name": "Grace Hopper"})
    assert answer.status == 200
    assert await answer.json() == {**grant["user"], "name": "Grace Hopper"}
    answer = await patch(auth, grant["access_token"], {})
    assert await answer.json() == {**grant["user"], "name": "Grace Hopper"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [None, {}, {"all": False}])
async def test_logout_ends_this_session_at_once(auth: Auth, body: Any) -> None:
    grant = await auth.register("ada@example.com")
    other = await (await auth.log_in("ada@example.com")).json()
    answer = await auth.post("logout", body, token=grant["access_token"])
    assert answer.status == 204
    assert await answer.read() == b""
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    assert (await auth.profile(grant["access_token"])).status == 401
    assert (await auth.post("logout", {}, token=grant["access_token"])).status == 401
    assert (await change(auth, grant["access_token"])).status == 401
    assert (await auth.profile(other["access_token"])).status == 200


async def test_logout_everywhere_ends_all_sessions_of_this_user_only(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    other = await (await auth.log_in("ada@example.com")).json()
    stranger = await auth.register()
    answer = await auth.post("logout", {"all": True}, token=grant["access_token"])
    assert answer.status == 204
    for ended in (grant, other):
        assert (await auth.refresh(ended["refresh_token"])).status == 401
        assert (await auth.profile(ended["access_token"])).status == 401
    assert (await auth.profile(stranger["access_token"])).status == 200


async def test_all_is_true_or_false(auth: Auth) -> None:
    grant = await auth.register()
    for value in ["true", 1, None, []]:
        answer = await auth.post("logout", {"all": value}, token=grant["access_token"])
        assert list(await details_of(answer)) == ["all"]
        assert (await auth.profile(grant["access_token"])).status == 200


async def test_a_new_password_keeps_the_rules(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    for new, field in [
        ("eleven-char", "new_password"),
        ("password1234", "new_password"),
        (None, "new_password"),
    ]:
        answer = await change(auth, grant["access_token"], new=new)
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == [field]
        assert (await auth.log_in("ada@example.com")).status == 200


async def test_the_current_password_is_needed_and_guessing_it_is_limited(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    for _ in range(5):
        answer = await change(auth, grant["access_token"], current=WRONG)
        assert await error_of(answer) == (403, "FORBIDDEN")
        assert list(await details_of(answer)) == ["current_password"]
    answer = await change(auth, grant["access_token"])
    assert await error_of(answer) == (429, "RATE_LIMITED")
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    # The owner of the account still gets in: a stolen token is no way to lock him out.
    assert (await auth.log_in("ada@example.com")).status == 200


@pytest.mark.usefixtures("real_hashes")
async def test_parallel_guesses_of_the_current_password_get_five_verdicts(start: Start) -> None:
    auth = await start()
    grant = await auth.register()
    answers = await asyncio.gather(
        *(change(auth, grant["access_token"], current=WRONG) for _ in range(30))
    )
    assert Counter(answer.status for answer in answers) == {403: 5, 429: 25}


async def test_a_new_password_replaces_the_old_and_ends_the_other_sessions(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    other = await (await auth.log_in("ada@example.com")).json()
    await change(auth, grant["access_token"], current=WRONG)
    answer = await change(auth, grant["access_token"])
    assert answer.status == 204
    assert (await auth.log_in("ada@example.com")).status == 401
    assert (await auth.log_in("ada@example.com", NEW)).status == 200
    assert (await auth.refresh(other["refresh_token"])).status == 401
    assert (await auth.profile(other["access_token"])).status == 401
    assert (await auth.profile(grant["access_token"])).status == 200
    assert (await auth.refresh(grant["refresh_token"])).status == 200


@pytest.mark.usefixtures("real_hashes")
async def test_of_two_changes_at_once_one_wins(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    other = await (await auth.log_in("ada@example.com")).json()
    answers = await asyncio.gather(
        change(auth, grant["access_token"], new="nine-tall-herons-sing"),
        change(auth, other["access_token"], new="five-slow-herons-sing"),
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 204
    assert statuses[1] in (401, 403)
    assert len(await auth.sql("SELECT 1 FROM sessions WHERE ended_at IS NULL")) == 1


@pytest.mark.usefixtures("real_hashes")
async def test_logins_during_a_password_change_leave_no_session_of_the_old_password(
    start: Start,
) -> None:
    auth = await start()
    grant = await auth.register("ada@example.com")
    logins = [asyncio.create_task(auth.log_in("ada@example.com")) for _ in range(10)]
    changed = await change(auth, grant["access_token"])
    assert changed.status == 204
    for answer in await asyncio.gather(*logins):
        if answer.status == 200:
            token = (await answer.json())["access_token"]
            assert (await auth.profile(token)).status == 401
        else:
            assert answer.status == 401
    assert len(await auth.sql("SELECT 1 FROM sessions WHERE ended_at IS NULL")) == 1
