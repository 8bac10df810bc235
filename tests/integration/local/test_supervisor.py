"""`make run` from outside: what it starts, what it says, and that nothing stays behind."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.integration.local.conftest import Supervisor, alive, until


def processes(supervisor: Supervisor) -> dict[str, int]:
    found: dict[str, int] = supervisor.state()["processes"]
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_the_data_stays(
    supervisors: Callable[[], Supervisor], number: signal.Signals
) -> None:
    first = supervisors().start()
    state = first.until_ready()
    assert set(state["processes"]) == {"auth", "tasks", "tasks-worker", "gateway", "postgres"}
    assert f"ready: {state['url']}" in first.output()

    assert first.end(number) == 0
    assert [name for name, pid in state["processes"].items() if alive(pid)] == []
    assert not (first.data / "run.json").exists()

    made = (first.data / "postgres" / "PG_VERSION").stat().st_mtime_ns
    second = supervisors().start()
    second.until_ready()
    assert (second.data / "postgres" / "PG_VERSION").stat().st_mtime_ns == made


def test_a_signal_during_the_start_leaves_nothing(supervisor: Supervisor) -> None:
    supervisor.start()
    until(lambda: "migrating" in supervisor.output(), "the migration")
    assert supervisor.end() == 0
    pid_file = supervisor.data / "postgres" / "postmaster.pid"
    assert not pid_file.exists()


def test_killing_the_supervisor_ends_its_processes(supervisors: Callable[[], Supervisor]) -> None:
    first = supervisors().start()
    children = first.until_ready()["processes"]
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not any(map(alive, children.values())), "the end of all children")
    # What the killed run left does not hinder the next.
    supervisors().start().until_ready()


def test_a_second_run_on_the_same_folder_is_refused(
    supervisors: Callable[[], Supervisor],
) -> None:
    first = supervisors().start()
    first.until_ready()
    second = supervisors().start()
    assert second.code() == 1
    assert f"runs on {second.data} already (process {first.process and first.process.pid})" in (
        second.output()
    )
    assert all(map(alive, processes(first).values()))


def test_a_taken_port_is_named_with_its_variable(supervisor: Supervisor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        supervisor.start(TASKS_PORT=str(port))
        assert supervisor.code() == 1
    assert f"port {port} is in use" in supervisor.output()
    assert "TASKS_PORT=" in supervisor.output()
    assert not (supervisor.data / "postgres").exists()


@pytest.mark.parametrize(
    ("variables", "code", "expected"),
    [
        ({"STUB_AUTH": "bad-settings"}, 78, "AUTH_SECRET: Must be set."),
        ({"STUB_TASKS": "crash"}, 1, "RuntimeError: tasks fell over"),
        ({"STUB_TASKS": "bad-migration"}, 1, "relation of tasks is broken"),
        ({"AUTH_PORT": "many", "TASKS_PORT": "70000"}, 78, "TASKS_PORT=70000"),
        ({"AUTH_PORT": "7001", "TASKS_PORT": "7001"}, 78, "AUTH_PORT and TASKS_PORT are both 7001"),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(
    supervisor: Supervisor, variables: dict[str, str], code: int, expected: str
) -> None:
    supervisor.start(**variables)
    assert supervisor.code() == code
    assert expected in supervisor.output()
    assert "Traceback" not in supervisor.output().replace("    Traceback", "")
    assert not (supervisor.data / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("name", ["tasks", "postgres"])
def test_what_crashes_comes_back_and_the_others_go_on(supervisor: Supervisor, name: str) -> None:
    supervisor.start()
    before = supervisor.until_ready()["processes"]
    os.kill(before[name], signal.SIGKILL)
    until(lambda: f"{name:<12} ended with -9" in supervisor.output(), "the report")
    after = until(
        lambda: (found := processes(supervisor))[name] not in (None, before[name]) and found,
        "another process",
    )
    del after[name], before[name]
    assert after == before


def test_warnings_of_the_processes_are_shown_and_the_rest_is_in_files(
    supervisor: Supervisor,
) -> None:
    supervisor.start().until_ready()
    until(lambda: supervisor.output().count("warning: loud") == 4, "four warnings")
    assert "quiet" not in supervisor.output()
    assert "quiet" in (supervisor.data / "logs" / "gateway.log").read_text()


def test_a_long_folder_gets_its_socket_elsewhere(supervisor: Supervisor) -> None:
    supervisor.data = supervisor.folder / ("long" * 30) / "data"
    supervisor.start().until_ready()
    url = (supervisor.data / "tasks.url").read_text()
    sockets = Path(parse_qs(urlsplit(url).query)["host"][0])
    assert sockets.is_dir()
    assert supervisor.data not in sockets.parents
    assert supervisor.end() == 0
    assert not sockets.exists()


def test_given_databases_are_used_and_none_is_started(supervisor: Supervisor) -> None:
    given = {"AUTH_DATABASE_URL": "postgresql://a/x", "TASKS_DATABASE_URL": "postgresql://b/y"}
    supervisor.start(**given)
    assert "postgres" not in supervisor.until_ready()["processes"]
    assert (supervisor.data / "tasks.url").read_text() == "postgresql://b/y"


def test_services_alone_share_one_server_and_take_it_over(
    supervisors: Callable[[], Supervisor],
) -> None:
    auth = supervisors().start("auth")
    until(lambda: "ready: " in auth.output(), "auth alone")
    tasks = supervisors().start("tasks")
    until(lambda: "ready: " in tasks.output(), "tasks alone")
    pid_file = auth.data / "postgres" / "postmaster.pid"
    first = pid_file.read_text().split()[0]
    assert auth.end() == 0
    second = until(
        lambda: pid_file.exists() and (text := pid_file.read_text().split()) and text[0],
        "another server",
    )
    assert second != first
    assert tasks.end() == 0
    assert not pid_file.exists()


def test_a_service_alone_ends_with_its_own_code(supervisor: Supervisor) -> None:
    supervisor.start("auth", STUB_AUTH="bad-settings")
    assert supervisor.code() == 78
    assert "AUTH_SECRET: Must be set." in supervisor.output()
