"""Auth as the process that an operator runs, and its commands."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest
from argon2 import PasswordHasher

from services.auth.revisions import MIGRATIONS
from shared.revisions import head
from tests.ports import free_port
from tests.sealing import NEW, OLD
from tests.service.auth.conftest import eventually

PASSWORD = "seven-lazy-otters-paint"
ADMIN = ("create-admin", "--email", "root@example.com")


def environment(database_url: str, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "AUTH_DATABASE_URL": database_url,
        "ENVIRONMENT": "development",
        # Somebody may have a system of his own on this machine.
        "AUTH_PORT": str(free_port()),
        "AUTH_OPS_PORT": str(free_port()),
        **more,
    }


def command(
    database_url: str, *arguments: str, given: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m services.auth` with `arguments` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "services.auth", *arguments],
        env=environment(database_url, **more),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Process:
    """A serving process; `post` speaks to it."""

    def __init__(self, url: str, ops_url: str, session: aiohttp.ClientSession, pid: int) -> None:
        self.url = url
        self.ops_url = ops_url
        self.session = session
        self.pid = pid

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.session.post(f"{self.url}/v1/auth/{path}", json=body) as answer:
            return answer.status, await answer.json()

    async def profile_status(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(f"{self.url}/v1/auth/profile", headers=headers) as answer:
            return answer.status


@asynccontextmanager
async def serving(database_url: str) -> AsyncIterator[Process]:
    """A process that is ready; it is ended by SIGTERM and must then exit with 0, unless killed."""
    port, ops_port = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.auth",
        env=environment(database_url, AUTH_PORT=str(port), AUTH_OPS_PORT=str(ops_port)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    ops_url = f"http://127.0.0.1:{ops_port}"
    async with aiohttp.ClientSession() as session:
        try:
            await ready(session, ops_url, process)
            yield Process(f"http://127.0.0.1:{port}", ops_url, session, process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                code = await process.wait()
    assert code in (0, -signal.SIGKILL)


async def ready(
    session: aiohttp.ClientSession, ops_url: str, process: asyncio.subprocess.Process
) -> None:
    for _ in range(600):
        assert process.returncode is None
        try:
            async with session.get(f"{ops_url}/health/ready") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.05)
    pytest.fail("auth did not get ready")


async def test_the_audit_log_is_checked_and_exported_by_commands(auth_database_url: str) -> None:
    async with serving(auth_database_url) as process:
        for number in range(3):
            person = {"name": "Ada", "email": f"a{number}@example.com", "password": PASSWORD}
            assert (await process.post("register", person))[0] == 201

        async def all_linked() -> bool:
            return bool(await rows(auth_database_url, "SELECT 1 FROM audit_seals")) and not (
                await rows(auth_database_url, "SELECT 1 FROM audit_events WHERE sequence IS NULL")
            )

        await eventually(all_linked)
    intact = await asyncio.to_thread(command, auth_database_url, "audit", "verify")
    assert (intact.returncode, intact.stderr) == (0, "")
    assert "checked 3 events, 1 to 3" in intact.stdout
    assert "the audit log is intact" in intact.stdout
    noted = next(
        line.split()[-1] for line in intact.stdout.splitlines() if line.startswith("last event")
    )
    exported = await asyncio.to_thread(command, auth_database_url, "audit", "export")
    kinds = [json.loads(line)["kind"] for line in exported.stdout.splitlines()]
    assert [kinds.count(kind) for kind in ("event", "key")] == [3, 1]
    assert exported.returncode == 0
    for verify in (("--anchor", "nothing"), ("--anchor", f"{noted}00")):
        refused = await asyncio.to_thread(command, auth_database_url, "audit", "verify", *verify)
        assert refused.returncode == 2
    await rows(auth_database_url, "DELETE FROM audit_events WHERE sequence = 2")
    broken = await asyncio.to_thread(
        command, auth_database_url, "audit", "verify", "--anchor", noted
    )
    assert broken.returncode == 1
    assert "BROKEN: Row 2 is missing." in broken.stdout


async def rows(database_url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(database_url)
    try:
        found: list[Any] = await connection.fetch(query)
        return found
    finally:
        await connection.close()


async def test_after_a_kill_the_tokens_given_before_are_still_good(auth_database_url: str) -> None:
    async with serving(auth_database_url) as first:
        status, grant = await first.post(
            "register", {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
        )
        assert status == 201
        os.kill(first.pid, signal.SIGKILL)
    async with serving(auth_database_url) as second:
        assert await second.profile_status(grant["access_token"]) == 200
        status, following = await second.post("refresh", {"refresh_token": grant["refresh_token"]})
        assert status == 200
        assert await second.profile_status(following["access_token"]) == 200
    assert len(await rows(auth_database_url, "SELECT 1 FROM signing_keys")) == 1


async def test_two_processes_share_keys_sessions_and_counters(auth_database_url: str) -> None:
    async with serving(auth_database_url) as one, serving(auth_database_url) as other:
        _, grant = await one.post(
            "register", {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
        )
        assert await other.profile_status(grant["access_token"]) == 200
        wrong = {"email": "ada@example.com", "password": "seven-lazy-badgers-sing"}
        statuses = [(await (one, other)[n % 2].post("login", wrong))[0] for n in range(6)]
        assert statuses == [401] * 5 + [423]
        async with one.session.get(f"{other.ops_url}/health") as answer:
            report = await answer.json()
    assert report["status"] == "healthy"
    assert set(report["checks"]) == {"database", "signing_key"}
    assert len(await rows(auth_database_url, "SELECT 1 FROM signing_keys")) == 1


async def test_migrate_brings_an_empty_database_up_and_can_be_repeated(
    empty_database_url: str,
) -> None:
    served = await asyncio.to_thread(command, empty_database_url)
    assert served.returncode == 78
    assert "python -m services.auth migrate" in served.stderr
    for _ in range(2):
        done = await asyncio.to_thread(command, empty_database_url, "migrate")
        assert done.returncode == 0, done.stderr
    [row] = await rows(empty_database_url, "SELECT version_num FROM alembic_version")
    assert row["version_num"] == head(MIGRATIONS)


def test_without_settings_the_start_is_refused_with_all_of_them_named() -> None:
    done = command("")
    assert done.returncode == 78
    assert "AUTH_DATABASE_URL" in done.stderr
    other = command("mysql://root@localhost/auth", AUTH_PORT="x")
    assert other.returncode == 78
    assert "AUTH_DATABASE_URL: Must begin with postgresql://." in other.stderr
    assert "AUTH_PORT: " in other.stderr


async def test_an_administrator_is_made_with_the_piped_password(auth_database_url: str) -> None:
    done = await asyncio.to_thread(command, auth_database_url, *ADMIN, given=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    [row] = await rows(auth_database_url, "SELECT * FROM users")
    assert (row["email"], row["role"], row["tier"]) == ("root@example.com", "admin", "admin")
    assert PasswordHasher().verify(row["password_hash"], PASSWORD)


async def test_an_administrator_needs_no_secret_of_the_service(auth_database_url: str) -> None:
    done = await asyncio.to_thread(command, auth_database_url, *ADMIN, ENVIRONMENT="production")
    assert done.returncode == 0, done.stderr
    bad = await asyncio.to_thread(command, auth_database_url, *ADMIN, PASSWORD_PEPPERS="short")
    assert bad.returncode == 78
    assert "PASSWORD_PEPPERS" in bad.stderr


async def test_without_a_password_one_is_made_and_shown_once(auth_database_url: str) -> None:
    done = await asyncio.to_thread(command, auth_database_url, *ADMIN, "--name", "Root")
    assert done.returncode == 0, done.stderr
    made = done.stdout.rpartition("once: ")[2].strip()
    assert len(made) >= 24
    [row] = await rows(auth_database_url, "SELECT * FROM users")
    assert row["name"] == "Root"
    assert PasswordHasher().verify(row["password_hash"], made)


async def test_no_second_account_for_an_address_and_none_with_bad_input(
    auth_database_url: str,
) -> None:
    assert (await asyncio.to_thread(command, auth_database_url, *ADMIN)).returncode == 0
    for arguments, given, fields in (
        (ADMIN, PASSWORD, ["email"]),
        (("create-admin", "--email", "nobody", "--name", "x"), "short", ["email", "name"]),
        (("create-admin", "--email", "a@example.com"), "administrator1\n", ["password"]),
    ):
        done = await asyncio.to_thread(command, auth_database_url, *arguments, given=given)
        assert done.returncode == 1
        assert all(f"{field}: " in done.stderr for field in fields)
        assert "Traceback" not in done.stderr
    assert len(await rows(auth_database_url, "SELECT 1 FROM users")) == 1


async def test_keys_are_rotated_withdrawn_and_encrypted_by_commands(auth_database_url: str) -> None:
    async def keys(*arguments: str, encryption: str = OLD) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            command, auth_database_url, "keys", *arguments, ENCRYPTION_KEYS=encryption
        )

    async with serving(auth_database_url):
        pass
    published = await keys("rotate")
    assert published.returncode == 0, published.stderr
    kid = published.stdout.split()[1].rstrip(",")
    changed = await keys("re-encrypt", encryption=f"{NEW},{OLD}")
    assert changed.stdout.endswith(", unreadable 0\n")
    shown = (await keys("list")).stdout
    assert f"{kid}  next " in shown
    assert "not sealed with the first" in shown
    served = await asyncio.to_thread(
        command, auth_database_url, ENCRYPTION_KEYS=OLD, AUTH_PORT="0", AUTH_OPS_PORT="0"
    )
    assert (served.returncode, "'k2'" in served.stderr) == (78, True), served.stderr
    withdrawn = await keys("retire", "unknown")
    assert (withdrawn.returncode, "there is no key unknown" in withdrawn.stderr) == (1, True)
    assert "Traceback" not in withdrawn.stderr + served.stderr
