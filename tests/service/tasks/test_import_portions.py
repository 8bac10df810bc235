"""A long import goes in portions, so that its owner can go on working meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest

from services.tasks.domain import Task
from services.tasks.repository.imports import ImportRepository
from services.tasks.usecases import imports
from shared.errors import ServiceUnavailable
from tests.service.tasks.client import Client
from tests.service.tasks.test_files import jsonl

PORTION, LINES = 20, 400
KEY = {"Idempotency-Key": "once", "Content-Type": "application/x-ndjson"}


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PORTION", PORTION)


def file_of(count: int) -> bytes:
    return jsonl(*({"external_id": f"{n}", "title": f"line {n}"} for n in range(count)))


@pytest.mark.parametrize("headers", [{"Content-Type": KEY["Content-Type"]}, KEY])
async def test_the_owner_writes_between_two_portions(ann: Client, headers: dict[str, str]) -> None:
    answer = asyncio.create_task(
        ann.call("POST", "/v2/tasks/import", body=file_of(LINES), headers=headers)
    )
    while not answer.done():
        await ann.created(title="meanwhile")
    assert (await answer).data == {"imported": LINES, "unchanged": 0, "refused": []}
    titles = [change["task"]["title"] for change in await ann.changes()]
    of_the_file = [place for place, title in enumerate(titles) if title != "meanwhile"]
    # Something of somebody else stands in between.
    assert of_the_file[-1] - of_the_file[0] > LINES
    assert [titles[place] for place in of_the_file] == [f"line {n}" for n in range(LINES)]
    assert await ann.replayed() == await ann.stored()


async def test_parents_come_before_their_children_in_the_feed(ann: Client) -> None:
    lines = [
        {"external_id": f"{n}", "title": "t", "parent_external_id": f"{LINES - 1 - n % 5}"}
        for n in range(LINES - 5)
    ]
    lines += [{"external_id": f"{n}", "title": "t"} for n in range(LINES - 5, LINES)]
    assert (await ann.imported(jsonl(*lines))).data["imported"] == LINES
    known: set[str] = set()
    for change in await ann.changes():
        assert change["task"]["parent_id"] in known | {None}
        known.add(change["task_id"])
    # Lists and exports follow the file all the same.
    assert [line["external_id"] for line in await ann.exported()] == [f"{n}" for n in range(LINES)]


async def test_refused_lines_write_nothing_and_are_said_as_in_a_dry_run(ann: Client) -> None:
    lines = [{"external_id": f"{n}", "title": "t"} for n in range(3 * PORTION)]
    lines[5]["parent_external_id"] = "nowhere"
    lines[PORTION + 5]["parent_external_id"] = "5"
    lines[2 * PORTION + 5]["parent_external_id"] = lines[2 * PORTION + 5]["external_id"]
    dry = (await ann.imported(jsonl(*lines), "?dry_run=true")).data
    assert (await ann.stored()) == {}
    real = (await ann.imported(jsonl(*lines))).data
    assert real == dry
    assert real["imported"] == len(await ann.stored()) == 3 * PORTION - 3


async def test_what_happens_between_two_portions_is_seen(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = await ann.created(external_id="parent")
    lines = [{"external_id": f"{n}", "title": "t"} for n in range(3 * PORTION)]
    lines[-1]["parent_external_id"] = "parent"
    lines[-2]["parent_external_id"] = f"{3 * PORTION - 1}"
    add_all, portions = ImportRepository.add_all, 0

    async def interrupted(self: ImportRepository, tasks: Sequence[Task]) -> None:
        nonlocal portions
        portions += 1
        await add_all(self, tasks)

    async def between(self: ImportRepository, owner_id: object) -> None:
        if portions == 1:
            # The turn is free: a name of the next portion is taken, and a parent goes.
            await ann.created(external_id=f"{PORTION}")
            await ann.call("DELETE", f"/v2/tasks/{parent['id']}")
        await take_turn(self, owner_id)  # type: ignore[arg-type]

    take_turn = ImportRepository.take_turn
    monkeypatch.setattr(ImportRepository, "add_all", interrupted)
    monkeypatch.setattr(ImportRepository, "take_turn", between)
    report = (await ann.imported(jsonl(*lines))).data
    assert report["imported"] == 3 * PORTION - 3
    assert report["unchanged"] == 1
    assert [one["line"] for one in report["refused"]] == [3 * PORTION - 1, 3 * PORTION]
    assert await ann.replayed() == await ann.stored()


async def test_an_import_that_is_cut_off_goes_on_when_it_is_sent_again(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_all, portions = ImportRepository.add_all, 0

    async def failing(self: ImportRepository, tasks: Sequence[Task]) -> None:
        nonlocal portions
        portions += 1
        if portions == 4:
            raise ServiceUnavailable
        await add_all(self, tasks)

    monkeypatch.setattr(ImportRepository, "add_all", failing)
    body = file_of(5 * PORTION)
    answers = [await ann.call("POST", "/v2/tasks/import", body=body, headers=KEY) for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 200, 200]
    assert answers[1].data == {
        "imported": 2 * PORTION,
        "unchanged": 3 * PORTION,
        "refused": [],
    }
    assert answers[2].body == answers[1].body
    assert answers[2].headers["Idempotent-Replayed"] == "true"
    assert len(await ann.changes()) == len(await ann.stored()) == 5 * PORTION


async def test_an_import_under_way_is_in_flight_for_its_key(ann: Client) -> None:
    body = file_of(LINES)
    answers = await asyncio.gather(
        *(ann.call("POST", "/v2/tasks/import", body=body, headers=KEY) for _ in range(4))
    )
    assert {answer.status for answer in answers} <= {200, 409}
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    again = await ann.call("POST", "/v2/tasks/import", body=body, headers=KEY)
    assert again.data == {"imported": LINES, "unchanged": 0, "refused": []}
    assert len(await ann.changes()) == LINES


async def test_imports_under_keys_wait_for_their_turn_without_a_connection(ann: Client) -> None:
    answers = await asyncio.gather(
        *(
            ann.call(
                "POST",
                "/v2/tasks/import",
                body=jsonl({"title": f"{n}"}),
                headers={**KEY, "Idempotency-Key": f"{n}"},
            )
            for n in range(40)
        ),
        *(ann.get("/v2/tasks") for _ in range(20)),
    )
    assert {answer.status for answer in answers} == {200}
    assert len(await ann.stored()) == 40
