"""What runs on one machine: the programs, their ports and their environment, from the variables.

Everything is read once from the environment that `make` passes on. Nothing is started here.
"""

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import CannotRun

EXIT_CONFIGURATION = 78
PORTS = {
    "GATEWAY_PORT": 8080,
    "AUTH_PORT": 8081,
    "TASKS_PORT": 8082,
    "GATEWAY_OPS_PORT": 9080,
    "AUTH_OPS_PORT": 9081,
    "TASKS_OPS_PORT": 9082,
    "TASKS_WORKER_OPS_PORT": 9083,
}


@dataclass(frozen=True, slots=True)
class Program:
    """One process: how it is called, where it listens and which database it lives on."""

    name: str
    arguments: tuple[str, ...]
    port: str | None
    ops_port: str
    database: str | None = None

    @property
    def ports(self) -> tuple[str, ...]:
        """The variables of the ports that it opens."""
        return (self.ops_port,) if self.port is None else (self.port, self.ops_port)


GATEWAY = Program("gateway", ("services.gateway",), "GATEWAY_PORT", "GATEWAY_OPS_PORT")
AUTH = Program("auth", ("services.auth",), "AUTH_PORT", "AUTH_OPS_PORT", "auth")
TASKS = Program("tasks", ("services.tasks",), "TASKS_PORT", "TASKS_OPS_PORT", "tasks")
TASKS_WORKER = Program(
    "tasks-worker", ("services.tasks", "worker"), None, "TASKS_WORKER_OPS_PORT", "tasks"
)
# The order in which they start; they stop in the opposite one, so that the door closes first.
PROGRAMS = (AUTH, TASKS, TASKS_WORKER, GATEWAY)


@dataclass(frozen=True, slots=True)
class Plan:
    """The programs of one run with all that they need; `ports` are the numbers in use."""

    programs: tuple[Program, ...]
    data_folder: Path
    host: str
    ports: dict[str, int]
    given: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, str], programs: tuple[Program, ...]) -> "Plan":
        """Reads the variables of contract section 1. Raises `CannotRun` naming every bad one."""
        host = environment.get("BIND_HOST") or "127.0.0.1"
        opened = {name for program in programs for name in program.ports}
        ports = _read_ports(environment, opened)
        _choose_and_check(host, ports, opened)
        return cls(programs, data_folder(environment), host, ports, environment)

    @property
    def logs(self) -> Path:
        """The folder with one log file per process."""
        return self.data_folder / "logs"

    def embedded_databases(self) -> tuple[str, ...]:
        """The databases that no variable gives an address for."""
        needed = dict.fromkeys(p.database for p in self.programs if p.database is not None)
        return tuple(name for name in needed if not self.given.get(_database_variable(name)))

    def environment(
        self, embedded_urls: Mapping[str, str], secrets: Mapping[str, str]
    ) -> dict[str, str]:
        """The environment of every process; `embedded_urls` maps a database to its address.

        `secrets` are variables of this run's own, each unless a variable or a file gives another.
        """
        base = {
            "ENVIRONMENT": "development",
            "LOG_LEVEL": "INFO",
            "BIND_HOST": self.host,
            "AUTH_UPSTREAM": self.url("AUTH_PORT"),
            "TASKS_UPSTREAM": self.url("TASKS_PORT"),
            "AUTH_INTERNAL_URL": self.url("AUTH_PORT"),
            "AUTH_JWKS_URL": self.url("AUTH_PORT") + "/.well-known/jwks.json",
        }
        base |= {
            name: secret for name, secret in secrets.items() if not self.given.get(f"{name}_FILE")
        }
        # An empty variable is an unset one: `make run REDIS_URL=` means none.
        given = {name: value for name, value in self.given.items() if value}
        numbers = {name: str(number) for name, number in self.ports.items()}
        urls = {_database_variable(name): url for name, url in embedded_urls.items()}
        return base | given | numbers | urls

    def url(self, variable: str) -> str:
        """The address of one port as seen from this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "localhost") else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.ports[variable]}"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Where a run keeps everything that it writes."""
    return Path(environment.get("DATA_DIR") or ".data")


def _database_variable(database: str) -> str:
    return f"{database.upper()}_DATABASE_URL"


def _read_ports(environment: Mapping[str, str], opened: set[str]) -> dict[str, int]:
    ports: dict[str, int] = {}
    problems: list[str] = []
    for name, default in PORTS.items():
        text = environment.get(name) or str(default)
        if text.isascii() and text.isdigit() and int(text) <= 65_535:
            ports[name] = int(text)
        else:
            problems.append(f"{name}={text}: must be a port, 0 (any free one) to 65535")
    users: dict[int, list[str]] = {}
    for name in sorted(opened & ports.keys()):
        users.setdefault(ports[name], []).append(name)
    problems += [
        f"{' and '.join(names)} are both {number}"
        for number, names in users.items()
        if number and len(names) > 1
    ]
    if problems:
        raise CannotRun("\n".join(problems), exit_code=EXIT_CONFIGURATION)
    return ports


def _choose_and_check(host: str, ports: dict[str, int], opened: set[str]) -> None:
    """Puts a free number in place of 0; raises `CannotRun` naming every port that is taken."""
    problems: list[str] = []
    held: list[socket.socket] = []
    for name in sorted(opened):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        trial = socket.socket(family, socket.SOCK_STREAM)
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Held until all are chosen, so that no two get the same number.
        held.append(trial)
        try:
            trial.bind((host, ports[name]))
            # On some systems only listening shows that another process has the port.
            trial.listen(1)
            ports[name] = trial.getsockname()[1]
        except OSError as error:
            reason = (
                "is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            )
            problems.append(
                f"port {ports[name]} {reason}; free it, or set another: {name}={ports[name] + 10}"
            )
    for trial in held:
        trial.close()
    if problems:
        raise CannotRun("\n".join(problems))
