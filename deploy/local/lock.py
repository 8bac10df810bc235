"""Resolves the requirements: one universal, hash-checked lock per level, without any address."""

import argparse
import subprocess
import sys

from deploy.local.environment import LEVELS, OLDEST_PYTHON, REQUIREMENTS, ROOT

_COMMAND = [
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
    *("--python-version", ".".join(map(str, OLDEST_PYTHON))),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"),
    *("--custom-compile-command", "make lock"),
]


def main() -> int:
    """Entry point of `make lock`; `--upgrade` takes the newest versions that fit."""
    parser = argparse.ArgumentParser(prog="deploy.local.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    earlier: list[str] = []
    for level in LEVELS:
        source = REQUIREMENTS / f"{level}.in"
        target = REQUIREMENTS / f"{level}.txt"
        files = [str(source.relative_to(ROOT)), "-o", str(target.relative_to(ROOT))]
        done = subprocess.run([*_COMMAND, *upgrade, *earlier, *files], cwd=ROOT, check=False)
        if done.returncode != 0:
            return done.returncode
        # Tests run on the very versions that the services run on.
        earlier = ["-c", str(target.relative_to(ROOT))]
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
