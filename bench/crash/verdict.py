"""What must hold after the crashes, said in sentences about what does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bench.crash.patience import PATIENCE_SECONDS
from bench.crash.receiver import Receipt
from bench.crash.writer import Caller, Owner


async def problems_of(owner: Owner, caller: Caller, receipts: list[Receipt]) -> list[str]:
    """Everything that is wrong for one owner; all writers have ended by now."""
    await _delivered(caller)
    feed = await _feed(caller)
    tasks = await _walk(caller)
    found = [*of_the_feed(owner, feed, tasks), *of_the_tasks(owner, tasks)]
    found += of_the_deliveries(feed, receipts)
    found += await _of_the_replays(owner, caller)
    trashed = (await caller.read("/v2/tasks/trash?page_size=1"))["count"]
    wanted = sum(not known.live for known in owner.tasks.values())
    if trashed != wanted:
        found.append(f"{trashed} tasks in the trash, {wanted} were put there")
    # Nothing of what was asked once more may have been done once more.
    if len(await _feed(caller)) != len(feed):
        found.append("asking again under the same keys has changed something")
    return [f"owner {owner.id}: {problem}" for problem in found]


def of_the_feed(owner: Owner, feed: list[dict[str, Any]], tasks: dict[str, Any]) -> Iterator[str]:
    """A gap, a change too few or too many, or another end than the tasks that lists show."""
    if [change["sequence"] for change in feed] != list(range(1, len(feed) + 1)):
        yield "the feed has a gap"
    if len(feed) != owner.changes:
        yield f"{len(feed)} changes in the feed, {owner.changes} were acknowledged"
    replayed: dict[str, Any] = {}
    for change in feed:
        if change["type"] == "task.deleted":
            replayed.pop(change["task_id"], None)
        else:
            replayed[change["task_id"]] = change["task"]
    if replayed != tasks:
        yield "the feed does not replay to the tasks"


def of_the_tasks(owner: Owner, tasks: dict[str, Any]) -> Iterator[str]:
    """Tasks that are lost, made up, or in another state than was acknowledged last."""
    wanted = {
        task_id: (known.title, known.completed)
        for task_id, known in owner.tasks.items()
        if known.live
    }
    found = {task_id: (task["title"], task["completed"]) for task_id, task in tasks.items()}
    for task_id in wanted.keys() - found.keys():
        yield f"the task {task_id} was acknowledged and is lost"
    for task_id in found.keys() - wanted.keys():
        yield f"the task {task_id} was never acknowledged, or was deleted"
    for task_id in wanted.keys() & found.keys():
        if wanted[task_id] != found[task_id]:
            yield f"the task {task_id} is {found[task_id]}, acknowledged was {wanted[task_id]}"


def of_the_deliveries(feed: list[dict[str, Any]], receipts: list[Receipt]) -> Iterator[str]:
    """Changes nobody was told of, told of without having happened, or told in another order."""
    announced = {change["id"]: change["sequence"] for change in feed}
    accepted = {receipt.event_id for receipt in receipts if receipt.accepted}
    for event_id in announced.keys() - accepted:
        yield f"the change {announced[event_id]} was never delivered"
    for event_id in {receipt.event_id for receipt in receipts} - announced.keys():
        yield f"the event {event_id} was delivered and never happened"
    latest: Counter[str] = Counter()
    seen: set[str] = set()
    for receipt in receipts:
        if receipt.event_id in seen:
            continue
        seen.add(receipt.event_id)
        if receipt.sequence < latest[receipt.task_id]:
            yield f"the change {receipt.sequence} came after a later one of its task"
        latest[receipt.task_id] = receipt.sequence


async def _of_the_replays(owner: Owner, caller: Caller) -> list[str]:
    found = []
    for (path, key), (body, kept) in owner.kept.items():
        answer = await caller.insist("POST", path, body, key)
        if not answer.replayed or answer.body != kept:
            found.append(f"POST {path} under the key {key} is not replayed as it was answered")
    return found


async def _delivered(caller: Caller) -> None:
    """Returns once nothing waits for its delivery. Raises TimeoutError."""
    [webhook] = (await caller.read("/v2/webhooks"))["results"]
    path = f"/v2/webhooks/{webhook['id']}/deliveries?page_size=1&state=pending"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if (await caller.read(path))["count"] == 0:
                return
            await asyncio.sleep(0.05)


async def _feed(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    since, more = "", True
    while more:
        page = await caller.read(f"/v2/tasks/changes?since={since}&limit=100")
        found += page["changes"]
        since, more = page["next"], page["has_more"]
    return found


async def _walk(caller: Caller) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = await caller.read(f"/v2/tasks?page_size=100&cursor={cursor}")
        found.update({task["id"]: task for task in page["results"]})
        cursor = page["next_cursor"]
    return found
