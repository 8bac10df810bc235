"""The OpenAPI documents of auth say what it does."""

from typing import Any

from tests.service.auth.conftest import Auth, Start


async def document(auth: Auth, version: str) -> dict[str, Any]:
    page: dict[str, Any] = await (await auth.client.get(f"/{version}/openapi.json")).json()
    return page


def examples(page: dict[str, Any], name: str) -> dict[str, Any]:
    """The examples of a schema's required fields as one body."""
    schema = page["components"]["schemas"][name]
    return {field: schema["properties"][field]["example"] for field in schema["required"]}


async def test_both_versions_are_the_same(auth: Auth) -> None:
    first, second = await document(auth, "v1"), await document(auth, "v2")
    renamed = {path.replace("/v1/", "/v2/"): shown for path, shown in first["paths"].items()}
    assert renamed == second["paths"]
    assert first["components"] == second["components"]


async def test_the_examples_work_as_written(auth: Auth) -> None:
    page = await document(auth, "v1")
    registered = await auth.post("register", examples(page, "Registration"))
    assert registered.status == 201
    logged_in = await auth.post("login", examples(page, "Login"))
    assert logged_in.status == 200
    operation = page["paths"]["/v1/auth/password"]["post"]
    change = operation["requestBody"]["content"]["application/json"]["example"]
    token = (await logged_in.json())["access_token"]
    assert (await auth.post("password", change, token=token)).status == 204


async def test_no_input_takes_a_field_that_is_not_declared(auth: Auth) -> None:
    schemas = (await document(auth, "v1"))["components"]["schemas"]
    for name in ("Registration", "Login", "RefreshRequest", "LogoutRequest", "ProfilePatch"):
        assert schemas[name]["additionalProperties"] is False
    assert "role" not in schemas["Registration"]["properties"]


async def test_safe_from_enumeration_the_document_shows_one_answer(start: Start) -> None:
    auth = await start(enumeration_safe=True)
    answers = (await document(auth, "v2"))["paths"]["/v2/auth/register"]["post"]["responses"]
    assert "202" in answers
    assert not {"201", "409"} & set(answers)


async def test_an_api_key_does_where_the_document_says_so_and_nowhere_else(auth: Auth) -> None:
    grant = await auth.register()
    made = await (await auth.post("api-keys", {"name": "x"}, token=grant["access_token"])).json()
    service = (await (await auth.service_token()).json())["access_token"]
    exchanged = await auth.client.post(
        "/internal/exchange",
        json={"api_key": made["key"]},
        headers={"X-Service-Token": service},
    )
    headers = {"Authorization": f"Bearer {(await exchanged.json())['access_token']}"}
    page = await document(auth, "v2")
    assert page["components"]["securitySchemes"]["apiKeyAuth"]["name"] == "X-API-Key"
    examples_of = {"/v2/auth/api-keys": {"name": "y"}, "/v2/auth/password": None}
    for path, item in page["paths"].items():
        for method, operation in item.items():
            schemes = operation.get("x-credentials", [])
            if not schemes or not path.startswith("/v2/auth/"):
                continue
            body = examples_of.get(path, {})
            if body is None:
                media = operation["requestBody"]["content"]["application/json"]
                body = media["example"]
            url = path.replace("{session_id}", made["id"]).replace("{key_id}", made["id"])
            answer = await auth.client.request(method, url, json=body, headers=headers)
            assert (answer.status == 403) is ("apiKeyAuth" not in schemes), (method, path)
