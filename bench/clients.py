"""The clients as programs on their own cores: wrk when it is installed, else `bench.load`."""

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import Served, write_requests
from bench.machine import version_of
from bench.open_loop import Latency, Open
from bench.processes import ROOT, NotMeasured, python
from bench.wire import Request

_PATIENCE_SECONDS = 60.0
_IN_TURN = """
local at = 0
function request()
  at = at % #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True, slots=True)
class Clients:
    """Runs load on `cores`; `folder` is for wrk's scripts."""

    cores: frozenset[int]
    folder: Path
    with_wrk: bool

    @property
    def name(self) -> str:
        """What makes the closed-loop load."""
        return f"wrk {version_of('wrk', '-v')}" if self.with_wrk else "the client of bench/"

    def load(self, requests: Sequence[Request], connections: int, seconds: float) -> Served:
        """Keeps `connections` busy for `seconds`: they send the requests to one server in turn."""
        if self.with_wrk:
            return self._wrk(requests, connections, seconds)
        walk = self.folder / "walk.json"
        write_requests(walk, requests)
        command = python("bench.load", *_options(requests[0], seconds), "--walk", str(walk))
        text = self._run([*command, "--connections", str(connections)], seconds)
        return Served(**json.loads(text))

    def ask(self, request: Request, rate: float, seconds: float) -> Latency:
        """Asks at a fixed rate, and says how late the answers came."""
        return self._open_loop(request, rate, seconds)

    def spread(
        self, request: Request, rate: float, seconds: float, crowd: Open, process_id: int
    ) -> Latency:
        """The same over connections that stay as they are; with the CPU time that it cost."""
        options = ["--busy", crowd.busy, "--idle", crowd.idle, "--watch", process_id]
        return self._open_loop(request, rate, seconds, *map(str, options))

    def _open_loop(self, request: Request, rate: float, seconds: float, *options: str) -> Latency:
        command = python("bench.open_loop", *_options(request, seconds), *options)
        return Latency(**json.loads(self._run([*command, "--rate", str(rate)], seconds)))

    def _wrk(self, requests: Sequence[Request], connections: int, seconds: float) -> Served:
        script = self.folder / "requests.lua"
        lines = ["local requests = {}"]
        for at, request in enumerate(requests, 1):
            lines.append(f"requests[{at}] = {_lua(request.encode().decode())}")
        script.write_text("\n".join([*lines, _IN_TURN]))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", str(script)]
        return read_wrk(self._run([*command, requests[0].url], seconds))

    def _run(self, command: list[str], seconds: float) -> str:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores)
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds + _PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"{command[0]} did not end") from None
        finally:
            os.sched_setaffinity(0, before)
        if done.returncode != 0:
            raise NotMeasured(f"{' '.join(command)[:200]}: {done.stderr or done.stdout}")
        return done.stdout


def find_clients(cores: frozenset[int], folder: Path, *, own: bool) -> Clients:
    """wrk when it is installed and `own` does not ask for the client of bench/."""
    return Clients(cores, folder, with_wrk=not own and shutil.which("wrk") is not None)


def read_wrk(text: str) -> Served:
    """The figures in what wrk printed. Raises `NotMeasured` when there are none."""
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", text)
    if total is None:
        raise NotMeasured(f"wrk printed no figures:\n{text}")
    seconds = float(total.group(2)) * {"ms": 0.001, "s": 1.0, "m": 60.0}[total.group(3)]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    kinds = ("connect", "read", "write", "time-out")
    faults = dict(zip(kinds, map(int, broken.groups()), strict=True)) if broken else {}
    if refused:
        faults["no 2xx"] = int(refused.group(1))
    faults = {kind: count for kind, count in faults.items() if count}
    return Served(int(total.group(1)), sum(faults.values()), seconds, faults)


def _options(request: Request, seconds: float) -> list[str]:
    return [
        *("--url", request.url, "--method", request.method, "--body", request.body),
        *("--headers", json.dumps(dict(request.headers)), "--seconds", str(seconds)),
    ]


def _lua(text: str) -> str:
    """A Lua string; JSON's escapes but for the unicode ones are Lua's."""
    return json.dumps(text, ensure_ascii=False)
