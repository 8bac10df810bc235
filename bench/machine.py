"""The machine that the figures come from, and how its cores are shared out."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES = ("aiohttp", "uvloop", "httptools", "asyncpg", "orjson")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores what is measured runs on, and which the load; the same ones when there is one."""

    measured: frozenset[int]
    load: frozenset[int]

    @classmethod
    def split(cls) -> "Cores":
        """Halves of the cores that this process may use."""
        available = sorted(os.sched_getaffinity(0))
        half = len(available) // 2
        everything = frozenset(available)
        if half == 0:
            return cls(everything, everything)
        return cls(frozenset(available[:half]), frozenset(available[half:]))

    def __str__(self) -> str:
        if self.measured == self.load:
            return "one core for everything"
        return f"measured on {_numbers(self.measured)}, load and upstream on {_numbers(self.load)}"


def facts(cores: Cores, tools: dict[str, str]) -> dict[str, str]:
    """Name and value of everything that a figure depends on."""
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores: {cores}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{sys.version.split()[0]}, {', '.join(libraries)}",
        **tools,
    }


def version_of(program: str, *arguments: str) -> str | None:
    """The version number that an installed program prints; None when it is not installed."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        return None
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    number = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return number.group() if number else "of unknown version"


def path_of(program: str) -> str:
    """The path of a program that is installed, in the folders for servers too."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found is not None
    return found


def _processor() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match.group(1) if match else platform.processor() or "unknown processor"


def _numbers(cores: frozenset[int]) -> str:
    return "core " + ",".join(map(str, sorted(cores)))
