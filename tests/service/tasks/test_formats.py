"""Files of other programs: CSV, iCalendar and todo.txt, in and out."""

import json
from typing import Any

import pytest

from tests.service.tasks.client import Answer, Client

MEDIA = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "ics": "text/calendar",
    "todotxt": "text/plain",
}
FULL: list[dict[str, Any]] = [
    {
        "external_id": "root-1",
        "title": 'Write; the "report", über all — 1/2',
        "description": 'First line,\nsecond; line \\ with "quotes" and 100 %',
        "priority": 5,
        "completed": False,
        "created_at": "2026-01-02T03:04:05Z",
        "due_date": "2026-02-03T04:05:06Z",
        "labels": ["work", "with space", "a;b", "back\\slash", "+plus", "ü"],
    },
    {
        "external_id": "child 2",
        "title": "Send it",
        "description": None,
        "priority": 2,
        "completed": True,
        "completed_at": "2026-01-03T00:00:00Z",
        "created_at": "2026-01-02T03:04:06Z",
        "due_date": "2026-02-03T00:00:00Z",
        "labels": [],
        "parent_external_id": "root-1",
    },
]

TODOMAN = b"""BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:io.barrera.todoman\r
BEGIN:VTIMEZONE\r
TZID:Europe/Berlin\r
BEGIN:STANDARD\r
DTSTART:19961027T030000\r
TZOFFSETFROM:+0200\r
TZOFFSETTO:+0100\r
TZNAME:CET\r
END:STANDARD\r
END:VTIMEZONE\r
BEGIN:VTODO\r
CATEGORIES:home,garden\r
CREATED:20260110T101500Z\r
DESCRIPTION:two\\nlines\\, one comma\r
DTSTAMP:20260110T101500Z\r
DUE;TZID=Europe/Berlin:20260120T180000\r
PERCENT-COMPLETE:0\r
PRIORITY:5\r
SEQUENCE:1\r
SUMMARY:Cut the hedge and tell everybody in the street that it will be loud, \r
 because it will\r
UID:7b3d@laptop\r
BEGIN:VALARM\r
ACTION:DISPLAY\r
DESCRIPTION:now\r
TRIGGER:-PT10M\r
END:VALARM\r
END:VTODO\r
BEGIN:VTODO\r
UID:bad\r
SUMMARY:Every day\r
RRULE:FREQ=DAILY\r
END:VTODO\r
BEGIN:VTODO\r
UID:floating\r
SUMMARY:When\r
DUE:20260120T180000\r
END:VTODO\r
BEGIN:VEVENT\r
SUMMARY:no task\r
END:VEVENT\r
BEGIN:VTODO\r
UID:done\r
SUMMARY:Done\r
STATUS:COMPLETED\r
COMPLETED:20260111T000000Z\r
DUE;VALUE=DATE:20260112\r
RELATED-TO:7b3d@laptop\r
END:VTODO\r
BEGIN:VTODO\r
SUMMARY:cut off\r
"""


async def send(client: Client, name: str, body: bytes, query: str = "") -> Answer:
    headers = {"Content-Type": MEDIA[name]}
    path = f"/v2/tasks/import?format={name}{query}"
    return await client.call("POST", path, body=body, headers=headers)


async def good(client: Client, name: str, body: bytes, query: str = "") -> dict[str, Any]:
    answer = await send(client, name, body, query)
    assert answer.status == 200, answer.body
    report: dict[str, Any] = answer.data
    return report


def lines(tasks: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(task).encode() for task in tasks)


@pytest.mark.parametrize("name", list(MEDIA))
async def test_round_trip_loses_nothing(ann: Client, bob: Client, name: str) -> None:
    assert (await ann.imported(lines(FULL))).data["imported"] == 2
    exported = await ann.get(f"/v2/tasks/export?format={name}")
    assert exported.headers["Content-Type"].split(";")[0] == MEDIA[name]
    report = await good(bob, name, exported.body)
    assert report == {"imported": 2, "unchanged": 0, "refused": []}
    assert await bob.exported() == await ann.exported() == FULL
    again = await good(bob, name, exported.body)
    assert again == {"imported": 0, "unchanged": 2, "refused": []}
    assert (await bob.get(f"/v2/tasks/export?format={name}")).body == exported.body


@pytest.mark.parametrize("name", list(MEDIA))
async def test_empty_files(ann: Client, name: str) -> None:
    exported = await ann.get(f"/v2/tasks/export?format={name}")
    assert exported.status == 200
    assert (await good(ann, name, exported.body))["refused"] == []
    assert (await good(ann, name, b""))["imported"] == 0


@pytest.mark.parametrize("name", list(MEDIA))
async def test_content_type_names_the_format(ann: Client, bob: Client, name: str) -> None:
    await ann.imported(lines(FULL))
    body = (await ann.get(f"/v2/tasks/export?format={name}")).body
    headers = {"Content-Type": MEDIA[name]}
    answer = await bob.call("POST", "/v2/tasks/import", body=body, headers=headers)
    assert answer.data["imported"] == 2
    dry = await good(ann, name, body, "&dry_run=true")
    assert dry == {"imported": 0, "unchanged": 2, "refused": []}


async def test_csv_names_the_line_of_each_fault(ann: Client) -> None:
    rows = (
        b'title,priority,labels,description\r\nA,5,x;y,"two\r\nlines"\r\n,1,,\r\n'
        b'B,9,,\r\nC,1\r\n\r\nD,,,\r\nE,1,,\xff\r\nF"x,1,,\r\n'
    )
    report = await good(ann, "csv", rows)
    assert report["imported"] == 3
    assert {one["line"]: set(one["errors"]) for one in report["refused"]} == {
        4: {"title"},
        5: {"priority"},
        6: {"line"},
        9: {"line"},
    }
    texts = {task["title"]: task["description"] for task in await ann.exported()}
    assert texts["A"] == "two\r\nlines"


@pytest.mark.parametrize("head", [b"a,b", b"priority", b"title,title", b"title;a", b'"'])
async def test_csv_without_a_usable_header(ann: Client, head: bytes) -> None:
    report = await good(ann, "csv", head + b"\nA,B\n")
    assert report["imported"] == 0
    assert report["refused"][0]["line"] == 1


async def test_calendar_as_a_program_writes_it(ann: Client) -> None:
    report = await good(ann, "ics", TODOMAN)
    assert report["imported"] == 2
    assert [set(one["errors"]) for one in report["refused"]] == [{"rrule"}, {"due"}, {"line"}]
    assert [TODOMAN.splitlines()[one["line"] - 1] for one in report["refused"]] == [
        b"BEGIN:VTODO"
    ] * 3
    tasks = {task["external_id"]: task for task in await ann.exported()}
    hedge = tasks["7b3d@laptop"]
    assert hedge["title"].endswith("it will be loud, because it will")
    assert hedge["description"] == "two\nlines, one comma"
    assert hedge["due_date"] == "2026-01-20T17:00:00Z"
    assert (hedge["priority"], hedge["labels"]) == (3, ["home", "garden"])
    assert tasks["done"]["due_date"] == "2026-01-12T00:00:00Z"
    assert tasks["done"]["parent_external_id"] == "7b3d@laptop"
    assert tasks["done"]["completed_at"] == "2026-01-11T00:00:00Z"


async def test_todo_txt_as_people_write_it(ann: Client) -> None:
    text = (
        "(A) 2026-01-02 Thank Mum for the meatballs @phone +family\n"
        "x 2026-01-04 2026-01-03 Call Dad pri:B http://example.org/x:y\n"
        "\n"
        "Plain\n"
        "@only +labels\n"
        "(z) small is text due:2026-02-30\n"
        "Later due:2026-03-01 t:2026-02-01\n"
    )
    report = await good(ann, "todotxt", text.encode())
    assert report["imported"] == 4
    assert {one["line"]: set(one["errors"]) for one in report["refused"]} == {
        5: {"title"},
        6: {"due_date"},
    }
    tasks = {task["title"]: task for task in await ann.exported()}
    mum = tasks["Thank Mum for the meatballs"]
    assert (mum["priority"], mum["labels"]) == (5, ["phone", "+family"])
    assert mum["created_at"] == "2026-01-02T00:00:00Z"
    dad = tasks["Call Dad http://example.org/x:y"]
    assert (dad["completed"], dad["priority"]) == (True, 4)
    assert dad["completed_at"] == "2026-01-04T00:00:00Z"
    assert tasks["Later t:2026-02-01"]["due_date"] == "2026-03-01T00:00:00Z"


async def test_what_is_no_calendar_is_not_passed_over(ann: Client) -> None:
    report = await good(ann, "ics", b"\r\ntitle,priority\r\nMilk,3\r\n")
    assert [(one["line"], set(one["errors"])) for one in report["refused"]] == [(2, {"line"})]
    text = b"\xef\xbb\xbfBEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY:a\nPRIORITY:%d\nEND:VTODO\n"
    report = await good(ann, "ics", text % 10)
    assert [(one["line"], set(one["errors"])) for one in report["refused"]] == [(2, {"priority"})]
    assert (await good(ann, "ics", text % 9))["imported"] == 1


async def test_a_folded_line_that_looks_like_an_end_is_none(ann: Client) -> None:
    text = b"BEGIN:VTODO\r\nUID:1\r\nSUMMARY:to\r\n END:VTODO\r\n\tBEGIN:VTODO\r\nEND:VTODO\r\n"
    assert (await good(ann, "ics", text))["imported"] == 1
    assert [task["title"] for task in await ann.exported()] == ["toEND:VTODOBEGIN:VTODO"]


async def test_lines_of_blanks_between_the_components_of_icalendar_mean_nothing(
    ann: Client,
) -> None:
    parts = ("BEGIN:VCALENDAR", "BEGIN:VTODO\nSUMMARY:to do", "END:VTODO", "BEGIN:VTODO")
    text = "\n  \n\n\t\n".join([*parts, "SUMMARY:more\nEND:VTODO", "END:VCALENDAR\n"])
    assert (await good(ann, "ics", text.encode()))["refused"] == []
    # Within a task such a line goes on with the one before, as any that begins with a blank.
    assert [task["title"] for task in await ann.exported()] == ["to do ", "more"]


async def test_csv_in_the_ways_of_spreadsheets(ann: Client) -> None:
    for number, (head, row) in enumerate(
        [
            (b"title,due_date", b"A,2026-01-02"),
            (b"Title;Due Date", b"B;2026-01-02"),
            (b"TITLE\tDUE-DATE", b"C\t2026-01-02"),
            (b'"Title";"due date"', b'"D";"2026-01-02"'),
        ]
    ):
        report = await good(ann, "csv", head + b"\r\n" + row + b"\r\n")
        assert report["imported"] == 1, number
    assert {task["due_date"] for task in await ann.exported()} == {"2026-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("lines", "due"),
    [
        (b"DTSTART:20300101T090000Z\nDURATION:PT1H30M", "2030-01-01T10:30:00Z"),
        (b"DTSTART;VALUE=DATE:20300101\nDURATION:P1W", "2030-01-08T00:00:00Z"),
        # A day of the calendar, on which Berlin's clocks skip an hour.
        (b"DTSTART;TZID=Europe/Berlin:20300330T120000\nDURATION:P1DT1H", "2030-03-31T11:00:00Z"),
        (b"DTSTART:20300101T090000Z\nDUE:20300102T090000Z", "2030-01-02T09:00:00Z"),
        (b"DTSTART:20300101T090000Z", None),
    ],
)
async def test_calendar_with_a_duration(ann: Client, lines: bytes, due: str | None) -> None:
    report = await good(ann, "ics", b"BEGIN:VTODO\nSUMMARY:a\n" + lines + b"\nEND:VTODO")
    assert report == {"imported": 1, "unchanged": 0, "refused": []}
    (task,) = await ann.exported()
    assert task.get("due_date") == due


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        (b"DURATION:PT1H", "duration"),
        (b"DTSTART:99991231T090000Z\nDURATION:P9999W", "duration"),
        (b"DTSTART:20300101T090000\nDURATION:PT1H", "dtstart"),
    ],
)
async def test_calendar_with_a_duration_of_no_use(ann: Client, lines: bytes, field: str) -> None:
    report = await good(ann, "ics", b"BEGIN:VTODO\nSUMMARY:a\n" + lines + b"\nEND:VTODO")
    (refused,) = report["refused"]
    assert set(refused["errors"]) == {field}


@pytest.mark.parametrize(
    ("body", "line"), [(b"title\rone\rtwo\r", 1), (b"title\r\none\rtwo\r\nthree\r\n", 2)]
)
async def test_csv_loses_no_row_behind_a_bare_carriage_return(
    ann: Client, body: bytes, line: int
) -> None:
    report = await good(ann, "csv", body)
    assert [one["line"] for one in report["refused"]] == [line]


HOSTILE = [
    b"BEGIN:VTODO\nSUMMARY:a\nDTSTART;VALUE=PERIOD:20260101T000000Z/PT1H\nDURATION:PT1H\nEND:VTODO",
    b"\x00",
    b"\xff\xfe",
    b'"' * 99,
    b"title\n" + b"x" * 300_000,
    b"type,content,priority,indent\ntask,,x,0\ntask,a,,99\ntask,@,1,\ntask,a,1,\xc2\xb2\n",
    b"type,content,priority,indent,date,timezone\ntask,a,1,1,0001-01-01 00:00,Europe\n",
    b"type,content,priority,indent,date,timezone\ntask,a,1,1,0001-01-01 00:00,Asia/Tokyo\n",
    b"type,content,priority,indent,date,timezone\ntask,a,1,1,2026-01-01 00:00," + b"z" * 999,
    b"BEGIN:VTODO\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nDUE:x\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nDUE;TZID=Nowhere:20260101T000000\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nPRIORITY:x\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nSUMMARY:b\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY;X=:a\n:\n;\nEND:VTODO",
    b"BEGIN:VTODO\nBEGIN:VTODO\nEND:VTODO\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nDUE:00010101T000000Z\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nCATEGORIES:\nRELATED-TO:\nEND:VTODO",
    b"BEGIN:VTODO\nSUMMARY:a\nCOMPLETED:PT1H\nCREATED;VALUE=PERIOD:20260101T000000Z/PT1H\nEND:VTODO",
    b"BEGIN:VTODO\n" + b"X:" + b"y" * 300_000 + b"\nEND:VTODO",
    b"x",
    b"x x",
    b"(A)",
    b"2026-99-99 a",
    b"a created_at:x",
    b"a note:%00",
    b"a @" + b"l" * 99,
    b"\xf0\x9f\x98\x80" * 50,
]


@pytest.mark.parametrize("name", list(MEDIA))
async def test_nothing_in_a_file_is_our_fault(ann: Client, name: str) -> None:
    for body in HOSTILE:
        answer = await send(ann, name, body)
        assert answer.status == 200, (body[:80], answer.body)
        for one in answer.data["refused"]:
            assert one["line"] >= 1
            assert one["errors"]
