"""Runs the FastAPI process beside the system whose PostgreSQL it shares."""

import contextlib
import json
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.identity import Identity
from bench.processes import await_status, free_port, started
from bench.system import TASKS, call
from bench.walks import OWNERS, TASKS_EACH, Owner, task, walks
from bench.wire import Request
from deploy.local.postgres import Place, create_databases

_DATABASE = "rival"
_NEEDED = "fastapi, uvicorn, sqlalchemy, asyncpg, jose, slowapi"


@dataclass(frozen=True, slots=True)
class Rival:
    """The running process, and the requests that are measured by what they do."""

    name: str
    process_id: int
    cases: dict[str, Sequence[Request]]


def versions(interpreter: Path) -> str | None:
    """What the interpreter has of the stack; None when a package is missing."""
    code = f"import {_NEEDED}; print('FastAPI', fastapi.__version__, '+ SQLAlchemy', "
    code += "sqlalchemy.__version__)"
    try:
        done = subprocess.run(
            [interpreter, "-c", code], capture_output=True, text=True, check=False, timeout=30
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@contextlib.contextmanager
def running_rival(
    interpreter: Path, name: str, data: Path, identity: Identity, cores: frozenset[int]
) -> Iterator[Rival]:
    """The process on `cores` with a database of its own in the server of `data`."""
    place = Place(data)
    create_databases(place, (_DATABASE,))
    port = free_port()
    log = data / "rival.log"
    url = place.url(_DATABASE)
    environment = {
        "RIVAL_DATABASE_URL": urlsplit(url)._replace(scheme="postgresql+asyncpg").geturl(),
        "RIVAL_PUBLIC_KEY": str(identity.public_key),
    }
    command = [str(interpreter), "-m", "uvicorn", "bench.rivals.fastapi_tasks:app"]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    with started(command, cores, log, environment) as process_id:
        root = f"http://127.0.0.1:{port}"
        await_status(f"{root}/tasks", 200, log, identity.headers)
        yield Rival(name, process_id, _prepare(root, identity))


def _prepare(root: str, identity: Identity) -> dict[str, Sequence[Request]]:
    tasks = f"{root}/tasks"
    made = _ids(tasks, identity.headers, TASKS)
    json_headers = {**identity.headers, "Content-Type": "application/json"}
    subjects = [str(uuid.uuid4()) for _ in range(OWNERS)]
    bearers = [{"Authorization": f"Bearer {identity.token_of(subject)}"} for subject in subjects]
    owners = [Owner(headers, _ids(tasks, headers, TASKS_EACH)) for headers in bearers]
    return {
        "GET one": [Request(f"{tasks}/{made[0]}", headers=identity.headers)],
        "list of 20": [Request(f"{tasks}?page_size=20", headers=identity.headers)],
        "create": [Request(tasks, "POST", json_headers, json.dumps(task(TASKS)))],
        **walks(tasks, owners),
    }


def _ids(tasks: str, headers: dict[str, str], number: int) -> list[str]:
    return [str(call("POST", tasks, task(at), headers)["id"]) for at in range(number)]
