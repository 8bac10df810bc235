"""Makes the virtual environment and brings it to what a requirements file locks.

Runs on the system's Python before anything is installed, so it imports the standard library only.
A warm call costs one hash and a few stats: pip runs only when the lock or the interpreter changed.
"""

import argparse
import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "deploy" / "requirements"
# A later level holds all of the earlier ones, with the same versions.
LEVELS = ("base", "local", "test")
OLDEST_PYTHON = (3, 11)


def interpreter(venv: Path) -> Path:
    """The Python inside `venv`."""
    return venv / "bin" / "python"


def version_of(python: Path) -> str | None:
    """`major.minor.micro` of an interpreter, or None when it, or the pip in it, does not run."""
    if not python.exists():
        return None
    # An environment whose making was interrupted has an interpreter, and no pip yet.
    code = "import pip, sys; print('.'.join(map(str, sys.version_info[:3])))"
    answer = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def stamp_of(level: str, python_version: str) -> str:
    """What the environment must have been made from to count as current for `level`."""
    lock = (REQUIREMENTS / f"{level}.txt").read_bytes()
    return f"{python_version} {hashlib.sha256(lock).hexdigest()}"


def is_current(venv: Path, level: str) -> bool:
    """Whether `level`, or a later one that contains it, is installed as locked."""
    # The version is read from the file that venv itself writes: a process start costs more.
    made_by = _configured_version(venv)
    if made_by is None or not interpreter(venv).exists():
        return False
    for candidate in LEVELS[LEVELS.index(level) :]:
        stamp = venv / f"installed-{candidate}"
        if stamp.is_file() and stamp.read_text() == stamp_of(candidate, made_by):
            return True
    return False


def prepare(venv: Path, level: str, *, recreate_for: str | None) -> None:
    """Makes `venv` hold `level`; `recreate_for` is the Python version that it must have.

    Raises `subprocess.CalledProcessError` when the environment or an install fails.
    """
    venv.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{venv}.lock").open("w") as lock:
        # Two makes at once install one after the other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = _configured_version(venv)
        stale = present is not None and (_too_old(present) or recreate_for not in (None, present))
        if not stale and is_current(venv, level):
            return
        if stale or version_of(interpreter(venv)) is None:
            print(f"making the virtual environment {venv}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        _install(venv, level)


def _install(venv: Path, level: str) -> None:
    print(f"installing deploy/requirements/{level}.txt (once; later starts skip this)", flush=True)
    for stamp in venv.glob("installed-*"):
        stamp.unlink()
    command = [
        str(interpreter(venv)),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        # Modules are compiled when they are first used, and most never are: a third of the time.
        "--no-compile",
    ]
    lock = REQUIREMENTS / f"{level}.txt"
    subprocess.run([*command, "--require-hashes", "-r", str(lock)], check=True)
    made_by = _configured_version(venv)
    assert made_by is not None
    (venv / f"installed-{level}").write_text(stamp_of(level, made_by))


def _too_old(version: str) -> bool:
    return tuple(map(int, version.split(".")[:2])) < OLDEST_PYTHON


def _configured_version(venv: Path) -> str | None:
    try:
        lines = (venv / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "version":
            return value.strip()
    return None


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m deploy.local.environment LEVEL [--venv DIR] [--this-python]`."""
    parser = argparse.ArgumentParser(prog="deploy.local.environment", description=__doc__)
    parser.add_argument("level", choices=LEVELS)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument(
        "--this-python",
        action="store_true",
        help="make the environment again when another Python made it",
    )
    options = parser.parse_args(arguments)
    wanted = ".".join(map(str, sys.version_info[:3])) if options.this_python else None
    try:
        prepare(Path.cwd() / options.venv, options.level, recreate_for=wanted)
    except subprocess.CalledProcessError as error:
        print(f"the set-up stopped: {error.cmd[0]} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
