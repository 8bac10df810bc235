"""One run: database, migrations, processes, ready; then it watches them until told to stop."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from deploy.local import readiness
from deploy.local.console import LogFile, complain, say
from deploy.local.database import Database
from deploy.local.errors import CannotRun
from deploy.local.folders import hold_alone, own_secrets, private_folder
from deploy.local.plan import EXIT_CONFIGURATION, PROGRAMS, Plan, Program, data_folder
from deploy.local.processes import Child, python

# A crashed process comes back after the first pause, doubled each time up to the second; a process
# that ran for the third one starts from the beginning again. Seconds.
FIRST_PAUSE, LONGEST_PAUSE, CALM = 0.5, 10.0, 30.0
READY_DEADLINE_SECONDS = 60.0


async def run_system(environment: Mapping[str, str]) -> None:
    """Runs the whole system until cancelled. Raises `CannotRun` when it does not start."""
    folder = data_folder(environment)
    private_folder(folder)
    with hold_alone(folder / "run.lock", "`make run`"):
        # Ports are looked at after the lock: a second run is told about the first, not about them.
        plan = Plan.read(environment, PROGRAMS)
        async with contextlib.AsyncExitStack() as stack:
            database, inherited = await stack.enter_async_context(prepared(plan))
            run = Run(plan, inherited, database)
            # Leaves in the opposite order: the processes first, then the server under them.
            stack.push_async_callback(run.stop)
            await run.start()
            say(f"ready: {plan.url('GATEWAY_PORT')}")
            say(f"  documentation {plan.url('GATEWAY_PORT')}/docs   logs {plan.logs}/*.log")
            say("  first administrator: make admin EMAIL=you@example.com")
            say("  stop with Ctrl-C; warnings and crashes of every process appear below")
            await run.watch()


@contextlib.asynccontextmanager
async def prepared(plan: Plan) -> AsyncIterator[tuple[Database | None, dict[str, str]]]:
    """Databases up and migrated, and the environment that says where they are."""
    plan.logs.mkdir(parents=True, exist_ok=True)
    database = Database(plan) if plan.embedded_databases() else None
    try:
        if database is not None:
            say(f"starting PostgreSQL on {database.place.data}")
            await database.bring_up()
        environment = plan.environment(
            database.urls() if database is not None else {}, own_secrets(plan.data_folder)
        )
        names = dict.fromkeys(p.database for p in plan.programs if p.database is not None)
        if names:
            say(f"migrating {' and '.join(names)}")
        await _migrate(plan, tuple(names), environment)
        yield database, environment
    finally:
        if database is not None:
            await asyncio.shield(database.stop())


async def _migrate(plan: Plan, names: tuple[str, ...], environment: dict[str, str]) -> None:
    async def migrate(name: str) -> None:
        log = LogFile(name, plan.logs / f"{name}-migrate.log")
        child = Child(name, python(f"services.{name}", "migrate"), environment, log.path)
        try:
            await child.start()
            code = await child.wait()
        finally:
            await child.stop()
        if code != 0:
            exit_code = EXIT_CONFIGURATION if code == EXIT_CONFIGURATION else 1
            raise CannotRun(
                f"the migration of {name} ended with {code}:\n{log.tail()}", exit_code=exit_code
            )

    # All of them end before the first failure is told: none is cut off in the middle.
    for outcome in await asyncio.gather(*map(migrate, names), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class Run:
    """The processes of one run, and the file `run.json` that tells other programs about them."""

    def __init__(self, plan: Plan, environment: dict[str, str], database: Database | None) -> None:
        self._plan = plan
        self._database = database
        self._published: dict[str, object] = {}
        self._logs = {p.name: LogFile(p.name, plan.logs / f"{p.name}.log") for p in plan.programs}
        self._children = [
            Child(p.name, python(*p.arguments), environment, self._logs[p.name].path)
            for p in plan.programs
        ]

    async def start(self) -> None:
        """Starts every process and returns when a request through the door works."""
        say(f"starting {', '.join(child.name for child in self._children)}")
        for child in self._children:
            await child.start()
        self._publish(ready=False)
        ends = [asyncio.create_task(self._report_end(child)) for child in self._children]
        ready = asyncio.create_task(self._until_ready())
        try:
            done, _ = await asyncio.wait({ready, *ends}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                # The end of a process, or a deadline missed, is raised here.
                task.result()
        finally:
            for task in (ready, *ends):
                task.cancel()
            await asyncio.gather(ready, *ends, return_exceptions=True)
        self._publish(ready=True)

    async def watch(self) -> None:
        """Starts what crashes again, and shows warnings, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for child in self._children:
                group.create_task(self._keep(child))
            if self._database is not None:
                group.create_task(self._database.watch())
            group.create_task(self._report())

    async def stop(self) -> None:
        """Stops the processes one after the other, the door first."""
        say("stopping")
        for child in reversed(self._children):
            await child.stop()
        for log in self._all_logs():
            log.show_warnings()
        (self._plan.data_folder / "run.json").unlink(missing_ok=True)

    async def _report_end(self, child: Child) -> None:
        code = await child.wait()
        exit_code = EXIT_CONFIGURATION if code == EXIT_CONFIGURATION else 1
        raise CannotRun(
            f"{child.name} ended with {code} before the system was ready:\n"
            f"{self._logs[child.name].tail()}",
            exit_code=exit_code,
        )

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_DEADLINE_SECONDS
        while True:
            missing = await asyncio.to_thread(readiness.missing, self._plan)
            if missing is None:
                return
            if time.monotonic() > deadline:
                raise CannotRun(f"not ready after {READY_DEADLINE_SECONDS:.0f} s: {missing}")
            await asyncio.sleep(0.05)

    async def _keep(self, child: Child) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = await child.wait()
            if time.monotonic() - began > CALM:
                pause = FIRST_PAUSE
            self._logs[child.name].show_warnings()
            complain(f"{child.name:<12} ended with {code}, starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            await child.start()

    async def _report(self) -> None:
        while True:
            self._publish(ready=True)
            for log in self._all_logs():
                log.show_warnings()
            await asyncio.sleep(0.3)

    def _all_logs(self) -> Iterator[LogFile]:
        yield from self._logs.values()
        if self._database is not None:
            yield self._database.log

    def _publish(self, *, ready: bool) -> None:
        processes = {child.name: child.process_id for child in self._children}
        if self._database is not None:
            processes["postgres"] = self._database.process_id
        state: dict[str, object] = {
            "ready": ready,
            "supervisor": os.getpid(),
            "processes": processes,
            "ports": self._plan.ports,
            "url": self._plan.url("GATEWAY_PORT"),
            "logs": str(self._plan.logs.absolute()),
        }
        if state != self._published:
            write_whole(self._plan.data_folder / "run.json", json.dumps(state, indent=2) + "\n")
            self._published = state


async def run_alone(environment: Mapping[str, str], program: Program) -> int:
    """Runs one program in the foreground, its log on our output; returns the code it ends with."""
    plan = Plan.read(environment, (program,))
    private_folder(plan.data_folder)
    async with prepared(plan) as (database, inherited):
        child = Child(program.name, python(*program.arguments), inherited, None)
        watching = asyncio.create_task(database.watch()) if database is not None else None
        announcing = asyncio.create_task(_announce(plan, program))
        try:
            await child.start()
            return await child.wait()
        finally:
            for task in (announcing, watching):
                if task is not None:
                    task.cancel()
            await asyncio.shield(child.stop())


async def _announce(plan: Plan, program: Program) -> None:
    """Says when the program is ready, or, once, what it still waits for: the others may be down."""
    began = time.monotonic()
    pause = 0.1
    while True:
        await asyncio.sleep(pause)
        missing = await asyncio.to_thread(readiness.missing_program, plan, program)
        if missing is None:
            say(f"ready: {plan.url(program.port or program.ops_port)}")
            return
        if pause < 1 and time.monotonic() - began > 5:
            say(f"started, and waiting: {missing}")
            pause = 2.0


def write_whole(path: Path, text: str) -> None:
    """Writes `path` so that a reader sees the old content or the new, never a part."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)
