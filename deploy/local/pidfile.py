"""What `postmaster.pid` says, and whether the process that it names is a server at all."""

import subprocess
import sys
from pathlib import Path

from deploy.local.errors import CannotRun


def is_ready(data: Path, process_id: int | None) -> bool:
    """Whether the server on `data` takes connections, by what it writes into `postmaster.pid`.

    `process_id` is the one expected, None for a server of another run.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    # The last of eight lines is the state; the first the process. pg_ctl reads the same two.
    return (
        len(lines) >= 8
        and lines[7].strip() == "ready"
        and (process_id is None or lines[0].strip() == str(process_id))
    )


def drop_stale_pid_file(data: Path) -> None:
    """Removes a `postmaster.pid` whose number belongs to some other process by now.

    PostgreSQL sorts out a dead number by itself, but takes any live one for a server. We hold the
    folder's lock, so only a server started by hand can be real: that one is left in peace.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:
        pid_file.unlink()
        return
    state, name = _state_and_name(pid)
    ended = state in ("", "Z")
    if not ended and name.startswith("postgres") and _works_in(pid, data):
        raise CannotRun(f"another PostgreSQL (process {pid}) uses {data}; stop it first")
    if state:
        # A process that has ended and waits for its parent counts as live for PostgreSQL too.
        pid_file.unlink()


def _works_in(pid: int, data: Path) -> bool:
    """Whether process `pid` has its working folder in `data`, as a server has; a guess is yes."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except PermissionError:
        # Somebody else's process cannot be in a folder that is closed to others.
        return False
    except OSError:
        return True


def _state_and_name(pid: int) -> tuple[str, str]:
    """The letter of a process's state and its name; both empty when there is no such process."""
    return _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)


def _from_proc(pid: int) -> tuple[str, str]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "", ""
    facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return facts["State"].strip()[:1], facts["Name"].strip()


def _from_ps(pid: int) -> tuple[str, str]:
    command = ["ps", "-o", "stat=,comm=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    state, _, name = answer.strip().partition(" ")
    return state[:1], Path(name.strip()).name
