"""Bad input of every kind through the gateway, in both versions.

Never a 5xx, always the contract's shape, the field is named, and nothing is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse

from tests.e2e.conftest import System
from tests.e2e.visitor import PASSWORD, Visitor, error_of, visiting

VERSIONS = ("v1", "v2")
JSON = "application/json"
TEN_MEGABYTES = 10_000_000


@dataclass(frozen=True)
class Operation:
    """One operation with a JSON body: a good one, and the fields of it that are attacked."""

    method: str
    path: str
    good: dict[str, Any]
    text: str
    number: str | None = None
    versions: tuple[str, ...] = VERSIONS


OPERATIONS = {
    "create": Operation("POST", "/tasks", {"title": "x"}, "title", "priority"),
    "replace": Operation("PUT", "/tasks/{task}", {"title": "x"}, "title", "priority"),
    "patch": Operation("PATCH", "/tasks/{task}", {}, "description", "priority", ("v2",)),
    "register": Operation(
        "POST",
        "/auth/register",
        {"name": "Eve", "email": "nobody@example.com", "password": PASSWORD},
        "name",
    ),
    "login": Operation(
        "POST", "/auth/login", {"email": "nobody@example.com", "password": PASSWORD}, "password"
    ),
    "refresh": Operation("POST", "/auth/refresh", {"refresh_token": "x"}, "refresh_token"),
    "logout": Operation("POST", "/auth/logout", {}, "all"),
    "profile": Operation("PATCH", "/auth/profile", {}, "name"),
    "password": Operation(
        "POST",
        "/auth/password",
        {"current_password": "x", "new_password": PASSWORD},
        "new_password",
    ),
}


def body_with(operation: Operation, field: str, value: bytes) -> bytes:
    """The good body with one field of it set to a piece of JSON text."""
    rest = {name: text for name, text in operation.good.items() if name != field}
    return orjson.dumps({**rest, field: 0})[:-2] + value + b"}"


TEXTS: dict[str, bytes] = {
    "number": b"5",
    "list": b'["a"]',
    "object": b'{"a": "b"}',
    "NUL": rb'"a\u0000b"',
    "lone surrogate": rb'"a\ud800b"',
    "surrogate in UTF-8": b'"a\xed\xa0\x80b"',
    "huge text": b'"' + b"a" * 100_000 + b'"',
    "number beyond a double": b"1e999",
    "deep": b"[" * 100 + b"]" * 100,
}
NUMBERS: dict[str, bytes] = {
    "zero": b"0",
    "nine": b"9",
    "negative": b"-1",
    "fraction": b"1.5",
    "beyond int": b"2147483648",
    "beyond bigint": b"9223372036854775808",
    "a hundred digits": b"9" * 100,
    "beyond a double": b"1e999",
    "text": b'"3"',
    "true": b"true",
    "null": b"null",
    "list": b"[1]",
}
WHOLE: dict[str, tuple[bytes, set[int]]] = {
    "empty": (b"", {400}),
    "broken": (b'{"title": ', {400}),
    "two values": (b"{} {}", {400}),
    "NaN": (b'{"title": NaN}', {400}),
    "Latin-1": (b'{"title": "caf\xe9"}', {400}),
    "UTF-16": ('{"title": "x"}'.encode("utf-16"), {400}),
    "byte order mark": (b'\xef\xbb\xbf{"title": "x"}', {400}),
    "a hundred thousand levels": (b"[" * 100_000 + b"]" * 100_000, {400}),
    "list": (b"[]", {422}),
    "null": (b"null", {422}),
    "text": (b'"x"', {422}),
    "number": (b"5", {422}),
}
MEDIA = [
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "application/json; charset=latin-1",
]


@dataclass(frozen=True)
class Attack:
    """A request that must be refused: the statuses it may meet, and the field it must name."""

    name: str
    body: bytes
    statuses: set[int]
    field: str | None
    media: str = JSON


def attacks(operation: Operation) -> Iterator[Attack]:
    for name, value in TEXTS.items():
        body = body_with(operation, operation.text, value)
        yield Attack(f"text: {name}", body, {422}, operation.text)
    if operation.number is not None:
        for name, value in NUMBERS.items():
            body = body_with(operation, operation.number, value)
            yield Attack(f"number: {name}", body, {422}, operation.number)
    for name, (body, statuses) in WHOLE.items():
        if name == "empty" and operation.path == "/auth/logout":
            continue  # its body may be left out
        yield Attack(name, body, statuses, "body")
    good = orjson.dumps(operation.good)
    yield Attack("unknown field", body_with(operation, "colour", b"1"), {422}, "colour")
    twice = good[:-1] + (b"," if operation.good else b"") + b'"twice": 1, "twice": 2}'
    yield Attack("duplicate key", twice, {422}, "twice")
    for media in MEDIA:
        yield Attack(media, good, {415}, "content-type", media)
    large = body_with(operation, operation.text, b'"' + b"a" * TEN_MEGABYTES + b'"')
    yield Attack("ten megabytes", large, {413}, None)


async def judge(answer: ClientResponse, statuses: set[int], field: str | None) -> str | None:
    """What is wrong with the refusal; None when nothing is."""
    text = await answer.text()
    if answer.status not in statuses:
        return f"{answer.status} {text[:200]}"
    error = error_of(orjson.loads(text))
    if answer.headers["X-Request-ID"] != error["request_id"]:
        return "another request id"
    if field is not None and field not in error["details"]:
        return f"{field} is not named: {text[:200]}"
    return None


async def state_of(person: Visitor) -> Any:
    """Everything that the person has."""
    tasks = await person.ask("GET", "/api/v2/tasks?page_size=100", 200)
    return tasks, await person.ask("GET", "/api/v2/auth/profile", 200)


@pytest.mark.parametrize(
    ("version", "name"),
    [(version, name) for name, one in OPERATIONS.items() for version in one.versions],
)
async def test_bodies(system: System, version: str, name: str) -> None:
    operation = OPERATIONS[name]
    if name == "register":
        free = {**operation.good, "email": f"nobody-{version}@example.com"}
        operation = replace(operation, good=free)
    faults = []
    async with visiting(system.url) as person:
        task = await person.ask("POST", "/api/v2/tasks", 201, json={"title": "Untouched"})
        before = await state_of(person)
        path = f"/api/{version}{operation.path.format(task=task['id'])}"
        for attack in attacks(operation):
            async with person.asking(
                operation.method,
                path,
                data=BytesIO(attack.body),
                headers={"Content-Type": attack.media},
            ) as answer:
                fault = await judge(answer, attack.statuses, attack.field)
            if fault is not None:
                faults.append(f"{attack.name}: {fault}")
        assert not faults, "\n".join(faults)
        assert await state_of(person) == before
        if name == "register":
            await person.ask("POST", path, 201, json=operation.good)


async def test_one_bad_item_of_many(system: System) -> None:
    async with visiting(system.url) as person:
        items: list[Any] = [{"title": ""}, {"title": "good"}, 5, None, {"title": "a", "x": 1}]
        report = await person.ask("POST", "/api/v1/tasks/bulk", 200, json=items)
        assert report["summary"] == {"total_submitted": 5, "successful": 1, "failed": 4}
        assert [error["index"] for error in report["errors"]] == [0, 2, 3, 4]
        for body in (b"{}", b"null", orjson.dumps([{"title": "x"}] * 51), b"[", b"[1e999]"):
            async with person.asking(
                "POST", "/api/v1/tasks/bulk", data=body, headers={"Content-Type": JSON}
            ) as answer:
                assert await judge(answer, {400, 422}, None) is None
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 1


NO_IDS = [
    "7", "null", "-1", "0", "x" * 300, "%00", "%ff", "%ed%a0%80", "..%2f..", "'%20OR%201=1", "%25",
    "00000000000000000000000000000000", "{0199a6f0-c0de-7000-8000-000000000001}", "é", "💥",
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
async def test_ids_that_are_none(system: System, version: str) -> None:
    faults = []
    async with visiting(system.url) as person:
        for method in ("GET", "PUT", "DELETE"):
            for given in NO_IDS:
                async with person.asking(
                    method, f"/api/{version}/tasks/{given}", json={"title": "x"}
                ) as answer:
                    fault = await judge(answer, {400, 404, 422}, None)
                    if fault is not None:
                        faults.append(f"{method} {given}: {fault}")
        named = await person.ask("GET", f"/api/{version}/tasks/7", 422)
        assert list(error_of(named)["details"]) == ["task_id"]
        unknown = "0199a6f0-c0de-7000-8000-000000000001"
        await person.ask("GET", f"/api/{version}/tasks/{unknown}", 404)
    assert not faults, "\n".join(faults)


PARAMETERS = {
    "v1": [
        ("skip=-1", "skip"), ("skip=x", "skip"), ("skip=99999999999999999999", "skip"),
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=1e1", "limit"), ("limit=", "limit"),
        ("completed=yes", "completed"), ("completed=1", "completed"), ("page=1", "page"),
        ("skip=1&skip=2", "skip"), ("owner_id=7", "owner_id"),
    ],
    "v2": [
        ("page=0", "page"), ("page=-1", "page"), ("page=99999999999999999999", "page"),
        ("page_size=101", "page_size"), ("page_size=0", "page_size"), ("skip=1", "skip"),
        ("sort=colour", "sort"), ("sort=title;DROP", "sort"), ("sort=", "sort"),
        ("priority=9", "priority"), ("min_priority=x", "min_priority"),
        ("due_before=2030-01-01", "due_before"), ("due_before=2030-01-01T00:00:00", "due_before"),
        ("due_after=0000-01-01T00:00:00Z", "due_after"),
        ("created_after=9999-12-31T23:59:59-01:00", "created_after"),
        ("label=%00", "label"), ("label=" + "x" * 51, "label"), ("parent_id=7", "parent_id"),
        ("q=%00", "q"), ("q=" + "x" * 201, "q"), ("q=", "q"), ("completed=TRUE", "completed"),
        ("colour=red", "colour"), ("page=1&page=1", "page"), ("%00=1", "\x00"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
async def test_parameters(system: System, version: str) -> None:
    faults = []
    async with visiting(system.url) as person:
        for query, field in PARAMETERS[version]:
            async with person.asking("GET", f"/api/{version}/tasks?{query}") as answer:
                fault = await judge(answer, {400, 422}, field)
                if fault is not None:
                    faults.append(f"{query}: {fault}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "q", ["!!", "&", "|", "a:*", "('", '"', "\\", "a & | b", "<->", "💥", "-", " ", "or", "%", "--"]
)
async def test_any_text_may_be_searched_for(system: System, q: str) -> None:
    async with visiting(system.url) as person:
        page = await person.ask("GET", "/api/v2/tasks", 200, params={"q": q})
        assert page["count"] == 0


@pytest.mark.parametrize(
    ("query", "media", "body", "statuses", "field"),
    [
        ("format=jsonl", JSON, b"{}", {415}, "content-type"),
        ("format=csv", "text/html", b"title\nx", {415}, "content-type"),
        ("format=exe", "application/x-ndjson", b"{}", {422}, "format"),
        ("dry_run=perhaps", "application/x-ndjson", b"{}", {422}, "dry_run"),
        ("colour=red", "application/x-ndjson", b"{}", {422}, "colour"),
    ],
)
async def test_imports_that_are_refused(
    system: System, query: str, media: str, body: bytes, statuses: set[int], field: str
) -> None:
    async with visiting(system.url) as person:
        async with person.asking(
            "POST", f"/api/v2/tasks/import?{query}", data=body, headers={"Content-Type": media}
        ) as answer:
            assert await judge(answer, statuses, field) is None
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x00" * 1000,
        bytes(range(256)) * 10,
        b"[" * 100_000,
        b'{"title": "' + b"a" * TEN_MEGABYTES + b'"}',
        b'{"title": 1e999}\n{"priority": 1}\nnull\n[]\n5\n"x"',
        b"\xff\xfe" + '{"title": "x"}'.encode("utf-16-le"),
    ],
    ids=["NUL", "all bytes", "brackets", "ten megabytes", "no tasks", "UTF-16"],
)
async def test_files_of_anything(system: System, body: bytes) -> None:
    async with visiting(system.url) as person:
        report = await person.ask(
            "POST",
            "/api/v2/tasks/import?format=jsonl",
            200,
            data=BytesIO(body),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert report["imported"] == 0
        assert report["refused"]
        assert all(refusal["errors"] for refusal in report["refused"])
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 0


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"Authorization": "Bearer"}, {401}),
        ({"Authorization": "Bearer " + "a." * 3000}, {401}),
        ({"Authorization": "Basic dTpw"}, {401}),
        ({"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, {401}),
        ({"Accept": "text/html"}, {406}),
        ({"API-Version": "v1"}, {400}),
        ({"API-Version": "v9"}, {400}),
        ({"X-Request-ID": "é" * 200}, {200}),
        ({"X-Large": "a" * 20_000}, {431}),
        ({"Cookie": "session=; ;;=;"}, {200, 400, 401}),
        ({"X-API-Key": "nonsense"}, {400, 401}),
        ({"Range": "bytes=5-1"}, {200}),
        ({"Content-Length": "0", "Content-Type": "nonsense"}, {200}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_headers(system: System, headers: dict[str, str], statuses: set[int]) -> None:
    async with visiting(system.url) as person:
        async with person.asking("GET", "/api/v2/tasks", headers=headers) as answer:
            assert answer.status in statuses, await answer.text()
            if answer.status >= 400:
                error_of(await answer.json(content_type=None))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/api/v1/tasks", 405),
        ("PUT", "/api/v2/tasks", 405),
        ("GET", "/api/v2/auth/login", 405),
        ("DELETE", "/api/v2/tasks/import", 405),
        ("GET", "/api/v3/tasks", 400),
        ("GET", "/api/v2/nowhere", 404),
        ("GET", "/internal/exchange", 404),
        ("GET", "/api/v2/internal/exchange", 404),
        ("GET", "/" + "a" * 9000, 414),
        ("BREW", "/api/v2/tasks", 405),
    ],
)
async def test_paths_and_methods(system: System, method: str, path: str, status: int) -> None:
    async with visiting(system.url) as person:
        async with person.asking(method, path) as answer:
            assert answer.status == status, await answer.text()
            error_of(await answer.json())
            assert ("Allow" in answer.headers) is (status == 405)


async def pieces(size: int) -> AsyncIterator[bytes]:
    """A JSON body of `size` bytes that comes without being announced."""
    yield b'{"title": "'
    for _ in range(size // 65_536):
        yield b"a" * 65_536
    yield b'"}'


@pytest.mark.parametrize("version", VERSIONS)
async def test_ten_megabytes_that_were_not_announced(system: System, version: str) -> None:
    async with visiting(system.url) as person:
        async with person.asking(
            "POST",
            f"/api/{version}/tasks",
            data=pieces(TEN_MEGABYTES),
            headers={"Content-Type": JSON},
        ) as answer:
            assert await judge(answer, {413}, None) is None
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 0
