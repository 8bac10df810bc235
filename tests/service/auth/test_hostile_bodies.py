"""Bodies of every bad kind, on every operation that takes one."""

import io
from typing import Any

import pytest

from tests.service.auth.conftest import PASSWORD, Auth, details_of, error_of

OPERATIONS = (
    ("POST", "register", {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}),
    ("POST", "login", {"email": "ada@example.com", "password": PASSWORD}),
    ("POST", "session-login", {"email": "ada@example.com", "password": PASSWORD}),
    ("POST", "session-logout", {"all": True}),
    ("POST", "refresh", {"refresh_token": "tlr_x"}),
    ("POST", "logout", {"all": True}),
    ("PATCH", "profile", {"name": "Ada Lovelace"}),
    ("POST", "password", {"current_password": PASSWORD, "new_password": PASSWORD + "!"}),
)
WRONG_VALUES: list[Any] = [None, 0, -1.5, [], {}, [[]], {"$gt": ""}, "\x00", "x" * 200_000]
BODIES = (
    (b"", 400, "BAD_REQUEST"),
    (b"{", 400, "BAD_REQUEST"),
    (b"{'name': 1}", 400, "BAD_REQUEST"),
    (b"\xff\xfe", 400, "BAD_REQUEST"),
    (b"NaN", 400, "BAD_REQUEST"),
    (b"null", 422, "VALIDATION_ERROR"),
    (b"[]", 422, "VALIDATION_ERROR"),
    (b'"text"', 422, "VALIDATION_ERROR"),
    (b"[" * 100_000, 400, "BAD_REQUEST"),
    (b"[" * 200 + b"]" * 200, 422, "VALIDATION_ERROR"),
    (b'{"unheard_of": 1}', 422, "VALIDATION_ERROR"),
    (b'{"name": "A", "name": "B"}', 422, "VALIDATION_ERROR"),
    (b'{"email": "\\ud800"}', 422, "VALIDATION_ERROR"),
    (b'{"all": 1e999}', 422, "VALIDATION_ERROR"),
    (b'"' + b"x" * 10_000_000 + b'"', 413, "PAYLOAD_TOO_LARGE"),
)


@pytest.mark.parametrize(("method", "path", "good"), OPERATIONS)
async def test_a_bad_body_is_the_clients_fault_and_changes_nothing(
    auth: Auth, method: str, path: str, good: dict[str, Any]
) -> None:
    grant = await auth.register("grace@example.com")
    headers = {
        "Authorization": f"Bearer {grant['access_token']}",
        "Content-Type": "application/json",
    }
    for body, status, code in BODIES:
        if path.endswith("logout") and not body:
            continue
        data = io.BytesIO(body) if len(body) > 1_000_000 else body
        answer = await auth.client.request(method, f"/v1/auth/{path}", data=data, headers=headers)
        assert await error_of(answer) == (status, code), (path, body[:40])
        assert await details_of(answer), (path, body[:40])
    assert (await auth.profile(grant["access_token"])).status == 200
    assert len(await auth.sql("SELECT 1 FROM users")) == 1


@pytest.mark.parametrize(("method", "path", "good"), OPERATIONS)
async def test_a_body_of_another_type_is_refused(
    auth: Auth, method: str, path: str, good: dict[str, Any]
) -> None:
    grant = await auth.register("grace@example.com")
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        answer = await auth.client.request(
            method,
            f"/v1/auth/{path}",
            data=b"a=b",
            headers={"Authorization": f"Bearer {grant['access_token']}", "Content-Type": media},
        )
        assert await error_of(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(("method", "path", "good"), OPERATIONS)
async def test_a_field_of_another_type_or_a_stray_parameter_is_named(
    auth: Auth, method: str, path: str, good: dict[str, Any]
) -> None:
    grant = await auth.register("grace@example.com")
    headers = {"Authorization": f"Bearer {grant['access_token']}"}
    for field in good:
        for wrong in WRONG_VALUES:
            answer = await auth.client.request(
                method, f"/v2/auth/{path}", json={**good, field: wrong}, headers=headers
            )
            assert await error_of(answer) == (422, "VALIDATION_ERROR"), (field, wrong)
            assert list(await details_of(answer)) == [field]
    answer = await auth.client.request(
        method, f"/v2/auth/{path}?debug=1", json=good, headers=headers
    )
    assert await error_of(answer) == (422, "VALIDATION_ERROR")
    assert list(await details_of(answer)) == ["debug"]
