import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.service.auth.conftest import PASSWORD, Auth, Start, details_of, error_of

BAD: list[tuple[dict[str, Any], str]] = [
    ({"role": "admin"}, "role"),
    ({"tier": "premium"}, "tier"),
    ({"is_active": True}, "is_active"),
    ({"email_verified": True}, "email_verified"),
    ({"id": "0199a6f0-c0de-7000-8000-000000000001"}, "id"),
    ({"name": None}, "name"),
    ({"name": 7}, "name"),
    ({"name": "A"}, "name"),
    ({"name": "A" * 51}, "name"),
    ({"name": " Ada"}, "name"),
    ({"name": "Ada "}, "name"),
    ({"name": "Ada\nBcc: x"}, "name"),
    ({"name": "Ada\u202eevil"}, "name"),
    ({"name": "Ada\x00"}, "name"),
    ({"email": None}, "email"),
    ({"email": ["ada@example.com"]}, "email"),
    ({"email": "ada"}, "email"),
    ({"email": "ada@example.com\n"}, "email"),
    ({"email": "ａda@example.com"}, "email"),
    ({"email": "a" * 250 + "@b.c"}, "email"),
    ({"password": None}, "password"),
    ({"password": 123456789012}, "password"),
    ({"password": "eleven-char"}, "password"),
    ({"password": "x1" + "y" * 127}, "password"),
    ({"password": "seven-lazy\x00otters"}, "password"),
    ({"password": "aaaaaaaaaaaa"}, "password"),
    ({"password": "Password1234!"}, "password"),
    ({"password": "Ada Lovelace"}, "password"),
    ({"password": "ada@example.com"}, "password"),
]
GOOD = {"name": "Ada Lovelace", "email": "ada@example.com", "password": PASSWORD}


async def test_what_is_wrong_is_named_and_nothing_is_made(auth: Auth) -> None:
    for changes, field in BAD:
        answer = await auth.post("register", {**GOOD, **changes})
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == [field]
        assert await auth.sql("SELECT 1 FROM users") == []


async def test_a_missing_field_is_named(auth: Auth) -> None:
    for missing in ["name", "email", "password"]:
        answer = await auth.post("register", {k: v for k, v in GOOD.items() if k != missing})
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == [missing]


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.COM"])
async def test_a_taken_address_is_a_conflict_in_any_case(auth: Auth, email: str) -> None:
    await auth.register("ada@example.com")
    answer = await auth.post("register", {**GOOD, "email": email})
    assert await error_of(answer) == (409, "CONFLICT")
    assert "email" in await details_of(answer)


@pytest.mark.usefixtures("real_hashes")
async def test_of_a_race_for_one_address_one_wins(auth: Auth) -> None:
    answers = await asyncio.gather(*(auth.post("register", GOOD) for _ in range(20)))
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 19}
    assert len(await auth.sql("SELECT 1 FROM users")) == 1
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 1


async def test_a_new_account_is_a_user_and_logged_in(auth: Auth) -> None:
    answer = await auth.post("register", {**GOOD, "email": "Ada@Example.com"})
    assert answer.status == 201
    assert answer.headers["Cache-Control"] == "no-store"
    grant = await answer.json()
    user = grant["user"]
    assert set(user) == {
        "id", "name", "email", "role", "tier", "is_active", "email_verified", "mfa_enabled",
        "created_at",
    }  # fmt: skip
    assert (user["email"], user["role"], user["tier"]) == ("ada@example.com", "user", "default")
    assert (user["is_active"], user["email_verified"], user["mfa_enabled"]) == (True, False, False)
    assert (grant["token_type"], grant["expires_in"]) == ("Bearer", 900)
    assert grant["idle_expires_at"] < grant["session_expires_at"]
    assert await (await auth.profile(grant["access_token"])).json() == user


@pytest.mark.usefixtures("real_hashes")
async def test_the_password_is_stored_as_argon2id_only(auth: Auth) -> None:
    await auth.register("ada@example.com")
    [row] = await auth.sql("SELECT users::text AS everything, password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in row["everything"]


async def test_names_of_any_script_are_kept_as_given(auth: Auth) -> None:
    answer = await auth.post("register", {**GOOD, "name": "Zoë 王小明 👩‍💻"})
    assert (await answer.json())["user"]["name"] == "Zoë 王小明 👩‍💻"


async def test_safe_from_enumeration_both_answers_and_their_work_are_alike(start: Start) -> None:
    auth = await start(enumeration_safe=True)
    bodies = []
    for times in (1, 2):
        answer = await auth.post("register", GOOD)
        assert answer.status == 202
        bodies.append(await answer.text())
        assert auth.metric("hash_duration_seconds_count", operation="hash") == times
    assert bodies[0] == bodies[1]
    assert "token" not in bodies[0]
    assert len(await auth.sql("SELECT 1 FROM users")) == 1
    assert (await auth.log_in("ada@example.com")).status == 200


async def test_registrations_are_counted_by_outcome(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.post("register", GOOD)
    await auth.post("register", {**GOOD, "password": "password1234"})
    for outcome in ("created", "taken", "refused"):
        assert auth.metric("auth_registrations_total", outcome=outcome) == 1
