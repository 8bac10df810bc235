"""`python -m bench.crash --rounds N` kills the service of tasks, its worker or PostgreSQL N times
under concurrent writers, then looks for anything lost, doubled, out of order or never delivered.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.crash.trial import OWNERS, WRITERS_OF_EACH, crash


def main() -> int:
    """Prints what was done and found; 1 when something does not hold."""
    parser = argparse.ArgumentParser(prog="bench.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="kills")
    parser.add_argument("--acts", type=int, default=40, help="acknowledged acts between two kills")
    parser.add_argument("--seed", type=int, default=1, help="of the order of kills and acts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tasklane-crash-") as name:
        folder = Path(name)
        began = time.monotonic()
        work = crash(folder, rounds=options.rounds, acts=options.acts, seed=options.seed)
        try:
            findings = asyncio.run(work)
        except (RuntimeError, TimeoutError) as error:
            log = (folder / "crash.log").read_text(errors="replace").splitlines()[-20:]
            print(f"broken off: {error!r}", *log, sep="\n", file=sys.stderr)
            return 1
    kills = ", ".join(f"{name} {count}" for name, count in sorted(findings.kills.items()))
    seen = ", ".join(f"{name} {count}" for name, count in sorted(findings.seen.items()))
    print(
        f"{findings.kills.total()} kills -9 ({kills}) in {time.monotonic() - began:.0f} s under "
        f"{OWNERS * WRITERS_OF_EACH} writers of {OWNERS} owners\n"
        f"{findings.acknowledged} acts acknowledged; meanwhile {seen}\n"
        f"{findings.changes} changes, {findings.received} deliveries received\n"
        f"{len(findings.problems)} problems"
    )
    print(*findings.problems[:50], sep="\n", end="\n" if findings.problems else "")
    return 1 if findings.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
