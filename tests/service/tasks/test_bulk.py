"""Bulk of version 2."""

from typing import Any

import pytest

from tests.service.tasks.client import Answer, Client

MISSING = "01a1fc30-8431-7561-a859-16967aeee507"


async def bulk(client: Client, tasks: Any, **options: Any) -> Answer:
    return await client.call("POST", "/v2/tasks/bulk", {"tasks": tasks, **options})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tasks": None},
        {"tasks": "x"},
        {"tasks": {}},
        {"tasks": [], "mode": "some"},
        {"tasks": [], "mode": None},
        {"tasks": [], "dry_run": 1},
        {"tasks": [], "more": 1},
        {"tasks": [{"title": "a"}] * 51},
        [],
    ],
)
async def test_refused_bodies(ann: Client, body: Any) -> None:
    assert (await ann.call("POST", "/v2/tasks/bulk", body)).status == 422
    assert await ann.changes() == []


async def test_partial_keeps_the_order_and_names_the_fault(ann: Client) -> None:
    parent = await ann.created()
    answer = await bulk(
        ann,
        [
            {"title": "a", "parent_id": parent["id"]},
            {"title": "", "labels": ["x", 5]},
            None,
            {"title": "b", "external_id": "x"},
            {"title": "c", "external_id": "x"},
            {"title": "d", "parent_id": MISSING},
            {"title": "b", "external_id": "x"},
        ],
    )
    assert answer.status == 207
    results = answer.data["results"]
    assert [one["index"] for one in results] == list(range(7))
    assert [one["status"] for one in results] == [201, 422, 422, 201, 409, 409, 200]
    assert results[6]["task"] == results[3]["task"]
    assert all(("task" in one) is ("error" not in one) for one in results)
    assert set(results[1]["error"]["details"]) == {"/tasks/1/title", "/tasks/1/labels/1"}
    assert set(results[2]["error"]["details"]) == {"/tasks/2"}
    assert set(results[4]["error"]["details"]) == {"/tasks/4/external_id"}
    assert set(results[5]["error"]["details"]) == {"/tasks/5/parent_id"}
    counts = {"total_submitted": 7, "successful": 3, "failed": 4, "dry_run": False}
    assert answer.data["summary"] == counts
    shown = (await ann.get(f"/v2/tasks/{results[0]['task']['id']}")).data
    assert shown == results[0]["task"]
    assert await ann.replayed() == await ann.stored()


async def test_atomic_writes_all_or_nothing(ann: Client) -> None:
    refused = await bulk(ann, [{"title": "a"}, {"title": ""}, {"title": "b"}], mode="atomic")
    assert refused.status == 422
    assert set(refused.details) == {"/tasks/1/title"}
    taken = await bulk(
        ann, [{"title": "a", "external_id": "x"}, {"title": "b", "external_id": "x"}], mode="atomic"
    )
    assert taken.status == 422
    assert set(taken.details) == {"/tasks/1/external_id"}
    assert await ann.changes() == []
    good = await bulk(ann, [{"title": "a"}, {"title": "b"}], mode="atomic")
    assert good.status == 201
    assert [one["status"] for one in good.data["results"]] == [201, 201]
    assert len(await ann.stored()) == 2


@pytest.mark.parametrize("mode", ["partial", "atomic"])
async def test_dry_run_writes_nothing(ann: Client, mode: str) -> None:
    answer = await bulk(ann, [{"title": "a"}], mode=mode, dry_run=True)
    assert answer.data["results"][0]["status"] == 201
    assert answer.data["summary"]["dry_run"] is True
    assert await ann.changes() == []
    assert (await bulk(ann, [], mode=mode)).data["results"] == []


async def test_bulk_under_a_key(ann: Client) -> None:
    body = {"tasks": [{"title": "a"}, {"title": ""}]}
    headers = {"Idempotency-Key": "k"}
    first = await ann.call("POST", "/v2/tasks/bulk", body, headers=headers)
    again = await ann.call("POST", "/v2/tasks/bulk", body, headers=headers)
    assert (again.status, again.body) == (207, first.body)
    assert len(await ann.stored()) == 1
