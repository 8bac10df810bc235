"""What no client should send: every answer is a clear 4xx, and nothing is written."""

import json
from typing import Any

from tests.service.tasks.client import Client

ID = "0199a6f0-c0de-7000-8000-0000000000ff"
HUGE = "9" * 400

# A value for a field, and what is wrong with it.
BAD_FIELDS: dict[str, list[Any]] = {
    "title": [None, "", "x" * 201, 5, True, [], {}, "a\x00b", ["t"]],
    "description": [5, "x" * 10_001, "\x00", {}, []],
    "priority": [0, 6, -1, 1.5, "3", True, None, 10**30, 1e308, [], {}],
    "due_date": [
        "", "soon", 5, "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z", "2026-01-01T00:00:60Z", "２０26-01-01T00:00:00Z", "x" * 10_000,
    ],
    "completed": [None, 1, 0, "true", "yes", [], {}],
}  # fmt: skip
BAD_FIELDS_V2: dict[str, list[Any]] = {
    **BAD_FIELDS,
    "labels": [
        None, "x", [1], [None], [""], ["x" * 51], ["a", "a"], ["\x00"], [["a"]],
        [f"{n}" for n in range(21)], {}, ["x"] * 100_000,
    ],
    "parent_id": ["", "7", 7, ID[:-1], ID + "0", "{" + ID + "}", ID.replace("-", ""), [], "\x00"],
    "external_id": ["", 5, "x" * 201, "\x00", [], {}],
    "recurrence": ["RRULE:FREQ=DAILY", {}, 0, False],
    "id": [ID],
    "version": [1],
    "etag": ['"x"'],
    "created_at": ["2026-01-01T00:00:00Z"],
    "owner_id": [ID],
}  # fmt: skip
# Bodies that are wrong as a whole: status, and the field that is named.
BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "body"),
    (b"{", 400, "body"),
    (b"{'title': 'x'}", 400, "body"),
    (b'{"title": "x",}', 400, "body"),
    (b'{"title": NaN}', 400, "body"),
    (b'{"title": "x"} {}', 400, "body"),
    (b'\xff\xfe{"title": "x"}', 400, "body"),
    (b'{"title": "\xed\xa0\x80"}', 422, "title"),
    (b'{"title": "\\ud800"}', 422, "title"),
    (b'{"title": "x", "priority": 1e999}', 422, "priority"),
    (b'{"title": "x", "title": "y"}', 422, "title"),
    (b'{"title": "x", "labels": [{"a": 1, "a": 2}]}', 422, "a"),
    (b"[]", 422, "body"),
    (b"null", 422, "body"),
    (b"5", 422, "body"),
    (b'"title"', 422, "body"),
    (b'{"title": "x", "nope": 1}', 422, "nope"),
    (b'{"title": "x", "\\u0000": 1}', 422, "\x00"),
]
BAD_QUERIES: list[tuple[str, str]] = [
    *((f"{name}={value}", name) for name in ("page", "page_size") for value in
      ("0", "-1", "1.0", "x", "", "%00", HUGE, "1e3", "0x1", "+1", "%D9%A1", "1&{0}=2")),
    ("page=10000001", "page"),
    ("page_size=101", "page_size"),
    *((f"priority={value}", "priority") for value in ("0", "6", "x", "")),
    *((f"min_priority={value}", "min_priority") for value in ("0", "6", "x")),
    *((f"max_priority={value}", "max_priority") for value in ("0", "6", "x")),
    *((f"completed={value}", "completed") for value in ("1", "True", "", "null")),
    *((f"{name}={value}", name)
      for name in ("due_before", "due_after", "created_after", "updated_after")
      for value in ("", "x", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00%2B14:00")),
    ("label=", "label"),
    ("label=%00", "label"),
    (f"label={'x' * 51}", "label"),
    ("parent_id=7", "parent_id"),
    ("parent_id=", "parent_id"),
    ("q=", "q"),
    ("q=%00", "q"),
    (f"q={'x' * 201}", "q"),
    *((f"sort={value}", "sort")
      for value in ("", "id", "owner_id", "title%20desc", "title;", "--title", "title,", ",",
                    "title%0A", "TITLE", ",".join(["title"] * 7))),
    ("owner_id=7", "owner_id"),
    ("nope=1", "nope"),
    ("cursor=%00", "cursor"),
    ("skip=1", "skip"),
    ("%00=1", "\x00"),
]  # fmt: skip
BAD_IDS = ["7", "x", ID[:-1], f"{ID}0", "%00", "%27", "..%2F..", ID.replace("-", ""), "%ED%A0%80"]
WRONG_MEDIA = ["text/plain", "application/xml", "application/json; charset=latin-1", "nonsense", ""]


async def written(client: Client) -> int:
    count: int = (await client.get("/v2/tasks")).data["count"]
    return count


async def test_bad_fields(ann: Client) -> None:
    task = await ann.created(title="before")
    calls = [
        ("POST", "/v1/tasks", BAD_FIELDS),
        ("PUT", f"/v1/tasks/{task['id']}", BAD_FIELDS),
        ("POST", "/v2/tasks", BAD_FIELDS_V2),
        ("PUT", f"/v2/tasks/{task['id']}", BAD_FIELDS_V2),
        ("PATCH", f"/v2/tasks/{task['id']}", BAD_FIELDS_V2),
    ]
    for method, path, fields in calls:
        for field, values in fields.items():
            for value in values:
                answer = await ann.call(method, path, {"title": "t", field: value})
                told = (method, path, field, str(value)[:50], answer.status)
                assert answer.status == 422, told
                assert any(name.split(".")[0] == field for name in answer.details), told
    assert (await ann.get("/v2/tasks")).data["results"] == [task]


async def test_bad_bodies(ann: Client) -> None:
    task = await ann.created(title="before")
    calls = [
        ("POST", "/v1/tasks"),
        ("PUT", f"/v1/tasks/{task['id']}"),
        ("POST", "/v2/tasks"),
        ("PUT", f"/v2/tasks/{task['id']}"),
        ("PATCH", f"/v2/tasks/{task['id']}"),
    ]
    for method, path in calls:
        for body, status, field in BAD_BODIES:
            answer = await ann.call(method, path, body=body)
            assert answer.status == status, (method, path, body, answer.body)
            assert field in answer.details, (method, path, body, answer.body)
    assert (await ann.get("/v2/tasks")).data["results"] == [task]


async def test_deep_and_long_bodies(ann: Client) -> None:
    deep = b'{"title": "t", "labels": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    long = json.dumps({"title": "x" * 10_000_000}).encode()
    for path in ("/v1/tasks", "/v2/tasks", "/v1/tasks/bulk"):
        assert (await ann.call("POST", path, body=deep)).status in (400, 422)
        answer = await ann.call("POST", path, body=long)
        assert (answer.status, set(answer.details)) == (413, {"body"})
    assert await written(ann) == 0


async def test_bad_items_of_a_bulk(ann: Client) -> None:
    items = [
        {"title": "t", field: value} for field, values in BAD_FIELDS.items() for value in values
    ]
    for start in range(0, len(items), 50):
        some = items[start : start + 50]
        answer = await ann.call("POST", "/v1/tasks/bulk", some)
        assert (answer.status, answer.data["summary"]["failed"]) == (200, len(some))
    for body in (body for body, status, _ in BAD_BODIES if status == 400):
        assert (await ann.call("POST", "/v1/tasks/bulk", body=body)).status == 400
    assert await written(ann) == 0


async def test_bad_queries(ann: Client) -> None:
    for query, field in BAD_QUERIES:
        answer = await ann.get(f"/v2/tasks?{query.format(field)}")
        assert (answer.status, list(answer.details)) == (422, [field]), (query, answer.body)
    for query, field in (("skip=-1", "skip"), ("limit=101", "limit"), ("page=1", "page")):
        answer = await ann.get(f"/v1/tasks?{query}")
        assert (answer.status, list(answer.details)) == (422, [field])
    for method, path in (("POST", "/v1/tasks"), ("POST", "/v2/tasks")):
        assert (await ann.call(method, f"{path}?nope=1", {"title": "t"})).status == 422
    assert await written(ann) == 0


async def test_ids_that_are_none(ann: Client) -> None:
    for version in ("v1", "v2"):
        for bad in BAD_IDS:
            for method in ("GET", "PUT", "DELETE"):
                body = {"title": "t"} if method == "PUT" else None
                answer = await ann.call(method, f"/{version}/tasks/{bad}", body)
                assert (answer.status, set(answer.details)) == (422, {"task_id"}), bad


async def test_wrong_media(ann: Client) -> None:
    for media in WRONG_MEDIA:
        for method, path in (
            ("POST", "/v1/tasks"),
            ("POST", "/v2/tasks"),
            ("PUT", f"/v2/tasks/{ID}"),
        ):
            answer = await ann.call(method, path, {"title": "t"}, headers={"Content-Type": media})
            assert (answer.status, set(answer.details)) == (415, {"content-type"}), media
    packed = {"Content-Encoding": "gzip"}
    assert (await ann.call("POST", "/v2/tasks", {"title": "t"}, headers=packed)).status == 415
    assert await written(ann) == 0


async def test_methods_that_are_none(ann: Client) -> None:
    for method, path, allowed in (
        ("PATCH", f"/v1/tasks/{ID}", "DELETE, GET, HEAD, PUT"),
        ("DELETE", "/v2/tasks", "GET, HEAD, POST"),
        ("GET", "/v2/tasks/import", "POST"),
        ("DELETE", "/v2/tasks/export", "GET, HEAD"),
        ("GET", "/v1/tasks/bulk", "POST"),
        ("POST", f"/v2/tasks/{ID}", "DELETE, GET, HEAD, PATCH, PUT"),
    ):
        answer = await ann.call(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


async def test_the_edges_of_what_is_allowed(ann: Client) -> None:
    fields = {
        "title": "𝕏" * 200,
        "description": "☃" * 10_000,
        "due_date": "0001-01-01T00:00:00Z",
        "labels": [f"{n:02}" + "𝕏" * 48 for n in range(20)],
        "external_id": "'; DROP TABLE tasks; --",
    }
    task = await ann.created(**fields)
    assert {name: task[name] for name in fields} == fields
    latest = await ann.created(due_date="9999-12-31T23:59:59.999999Z")
    for query in ("sort=due_date", "sort=-due_date", "due_after=0001-01-01T00:00:00Z"):
        assert (await ann.get(f"/v2/tasks?{query}")).status == 200
    assert latest["due_date"] == "9999-12-31T23:59:59.999999Z"
    assert len(await ann.exported()) == 2
