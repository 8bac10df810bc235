"""The steps of the demo. Each does one thing, shows it, and raises `DemoFailed` when it is not so.

The paths are those of version 2, except where the gateway itself answers.
"""

import secrets
from contextlib import closing
from typing import Any
from urllib.parse import quote

from deploy.local.demo_client import Answer, Client, DemoFailed
from deploy.local.demo_file import (
    TaskFile,
    common_label,
    differences,
    read_export,
    telling_word,
)
from deploy.local.demo_screen import Screen

_API = "/api/v2"
_SHOWN = 10
_LONGEST_PAGE = 100
_REFUSALS_SHOWN = 1_000
# A limit above this is set too high to be reached by one client that asks once at a time.
_MOST_REQUESTS = 3_000
Tasks = dict[str, dict[str, Any]]


class Demo:
    """One fresh user and his tasks."""

    def __init__(self, client: Client, screen: Screen) -> None:
        self._client = client
        self._screen = screen

    def enter(self) -> None:
        """Registers a user and logs in."""
        self._screen.step("Register a user, and log in")
        email = f"demo-{secrets.token_hex(6)}@example.com"
        password = secrets.token_urlsafe(18)
        account = {"name": "Demo", "email": email, "password": password}
        self._client.call("POST", f"{_API}/auth/register", account).expect(201)
        login = {"email": email, "password": password}
        answer = self._client.call("POST", f"{_API}/auth/login", login).expect(200).json()
        self._client.token = str(answer["access_token"])
        profile = self._client.get(f"{_API}/auth/profile").expect(200).json()
        if profile["email"] != email:
            raise DemoFailed(f"logged in as {email}, and the profile is of {profile['email']}")
        self._screen.say(f"{email}: role {profile['role']}, tier {profile['tier']}")

    def import_file(self, file: TaskFile) -> Tasks:
        """Imports the file, says which lines were refused and why, and returns what was taken."""
        self._screen.step(f"Import {file.path.name}")
        report = self._send(file)
        refused = report["refused"]
        taken = file.tasks(entry["line"] for entry in refused)
        self._account_for(file, report)
        if report["imported"] != len(taken):
            raise DemoFailed(f"{report['imported']} imported, and the file has {len(taken)} tasks")
        if refused:
            rows = [[entry["line"], _reasons(entry["errors"])] for entry in refused]
            self._screen.say(
                f"refused, with nothing written of {'it' if len(rows) == 1 else 'them'}:"
            )
            self._screen.table(["line", "why"], rows[:_REFUSALS_SHOWN], wide=1)
            if len(rows) > _REFUSALS_SHOWN:
                self._screen.say(f"and {len(rows) - _REFUSALS_SHOWN} more")
        return taken

    def import_again(self, file: TaskFile) -> None:
        """Imports the same file once more, which creates nothing."""
        self._screen.step("Import it again: nothing is created twice")
        report = self._send(file)
        self._account_for(file, report)
        if report["imported"] != 0:
            raise DemoFailed(f"the second import created {report['imported']} tasks")

    def compare_export(self, taken: Tasks) -> None:
        """Exports everything and compares it with what was imported."""
        self._screen.step("Export, and compare field by field with the file")
        answer = self._client.get(f"{_API}/tasks/export", format="jsonl").expect(200)
        try:
            exported = read_export(answer.body)
        except (ValueError, KeyError, TypeError):
            raise DemoFailed("the export is no JSON Lines file of tasks") from None
        found = differences(taken, exported)
        if found:
            shown = "\n".join(f"  {line}" for line in found[:20])
            raise DemoFailed(f"the export differs in {len(found)} places:\n{shown}")
        self._screen.say(f"{len(exported)} tasks, all equal; times compared as instants")

    def show_open(self, taken: Tasks) -> None:
        """The open tasks, most urgent first."""
        self._screen.step("Open tasks, most urgent first")
        wanted = [task for task in taken.values() if not task.get("completed")]
        page = self._list(completed="false", sort="-priority,due_date")
        rows = page["results"]
        urgency = [row["priority"] for row in rows]
        if urgency != sorted(urgency, reverse=True) or any(row["completed"] for row in rows):
            raise DemoFailed("the list is not of open tasks in the order of their priority")
        self._count("open tasks", page["count"], len(wanted))
        self._show(page)

    def show_filter(self, taken: Tasks) -> None:
        """The tasks with one label and at least some urgency."""
        found = common_label(taken.values())
        if found is None:
            query: dict[str, object] = {"min_priority": 3}
            wanted = sum(task.get("priority", 1) >= 3 for task in taken.values())
        else:
            label, _ = found
            query = {"label": label, "min_priority": 4}
            wanted = sum(
                label in (task.get("labels") or ()) and task.get("priority", 1) >= 4
                for task in taken.values()
            )
        words = ", ".join(f"{name}={value}" for name, value in query.items())
        self._screen.step(f"A filter: {words}")
        page = self._list(**query)
        self._count("tasks that fit", page["count"], wanted)
        self._show(page)

    def search(self, taken: Tasks) -> None:
        """A full-text search that must find a task whose title has the word."""
        if not taken:
            raise DemoFailed("the file brought no task to search for")
        word, name = telling_word(taken)
        self._screen.step(f"A text search: q={word}")
        page = self._list(page_size=_LONGEST_PAGE, q=word)
        if all(row["external_id"] != name for row in page["results"]):
            raise DemoFailed(f"{word!r} stands in the title of {name}, which was not found")
        self._show(page)

    def conflict(self) -> None:
        """Two changes against the same version: the first one wins, the second one is told."""
        self._screen.step("Two people change the same version of a task")
        made = self._client.call("POST", f"{_API}/tasks", {"title": "Two want me"}).expect(201)
        path = f"{_API}/tasks/{quote(str(made.json()['id']))}"
        etag = self._client.get(path).expect(200).header("ETag")
        condition = {"If-Match": etag}
        first = self._client.call("PATCH", path, {"priority": 5}, headers=condition).expect(200)
        self._screen.say(f"If-Match {etag}")
        self._screen.say(f"first   {first.status} OK: the task is at {first.header('ETag')}")
        second = self._client.call("PATCH", path, {"priority": 2}, headers=condition).expect(412)
        self._screen.say(f"second  {second.status} {second.trouble(whole=False)}")
        if self._client.get(path).expect(200).json()["priority"] != 5:
            raise DemoFailed("the refused change was written")
        self._client.call("DELETE", path).expect(204)

    def reach_limit(self) -> None:
        """Asks until the rate limit says no, and shows how it says it."""
        self._screen.step("The rate limit: ask until it says no")
        path = f"{_API}/tasks?page_size=1"
        for number in range(1, _MOST_REQUESTS + 1):
            answer = self._client.once("GET", path)
            if answer.status == 429:
                self._show_limit(answer, number)
                return
            answer.expect(200)
            left = answer.header("X-RateLimit-Remaining")
            if left.isdigit() and int(left) > _MOST_REQUESTS:
                self._screen.say(
                    f"not shown: {left} requests are left to this user here, and this demo "
                    f"sends {_MOST_REQUESTS} at most"
                )
                return
        raise DemoFailed(f"{_MOST_REQUESTS} requests, and none was limited")

    def _send(self, file: TaskFile) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(file.size)}
        path = f"{_API}/tasks/import?format=jsonl"
        while True:
            with closing(self._screen.progress(file.pieces(), file.size)) as pieces:
                answer = self._client.once("POST", path, pieces, headers=headers)
            if answer.status != 429:
                return answer.expect(200).json()
            self._client.wait(answer)

    def _account_for(self, file: TaskFile, report: dict[str, Any]) -> None:
        imported, unchanged = report["imported"], report["unchanged"]
        refused, total = len(report["refused"]), len(file.lines)
        counts = f"{imported} imported, {unchanged} unchanged, {refused} refused"
        if imported + unchanged + refused != total:
            raise DemoFailed(f"{counts}: the file has {total} lines")
        self._screen.say(f"{counts}: together the {total} lines of the file")

    def _list(self, **query: object) -> dict[str, Any]:
        query = {"page_size": _SHOWN, **query}
        return self._client.get(f"{_API}/tasks", **query).expect(200).json()

    def _count(self, what: str, got: int, wanted: int) -> None:
        if got != wanted:
            raise DemoFailed(f"{got} {what}, and the file has {wanted}")

    def _show(self, page: dict[str, Any]) -> None:
        rows = [
            [row["priority"], row["title"], ", ".join(row["labels"]), row["created_at"][:10]]
            for row in page["results"][:_SHOWN]
        ]
        self._screen.table(["priority", "title", "labels", "created"], rows, wide=1)
        self._screen.say(f"{len(rows)} of {page['count']}")

    def _show_limit(self, answer: Answer, number: int) -> None:
        names = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining")
        shown = [(name, answer.header(name)) for name in (*names, "X-RateLimit-Reset")]
        if not all(value.isdigit() for _, value in shown):
            raise DemoFailed(f"a limit header is no number: {shown}")
        fields = [(name, answer.header(name)) for name in ("RateLimit-Policy", "RateLimit")]
        self._screen.say(f"request {number}: {answer.status} {answer.trouble(whole=False)}")
        for name, value in (*shown, *fields):
            self._screen.say(f"{name}: {value}")


def _reasons(errors: object) -> str:
    """`{"title": ["Too long."]}` as `title: Too long.`"""
    if not isinstance(errors, dict):
        return str(errors)
    return "; ".join(
        f"{field}: {' '.join(map(str, told)) if isinstance(told, list) else told}"
        for field, told in errors.items()
    )
