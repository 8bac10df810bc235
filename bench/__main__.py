"""`python -m bench` measures, in one run and side by side, what a request costs.

CPU µs per request is the figure to compare: it moves far less with a busy machine than requests
per second. Rivals are measured when they are installed; nothing of the project needs them.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.cases import TASKLANE, Bench, measure_doors, measure_whole
from bench.clients import find_clients
from bench.figures import Report
from bench.identity import make_identity
from bench.machine import Cores, facts
from bench.processes import NotMeasured
from bench.tables import describe


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables; returns 1 when something could not be measured, or we answered wrongly."""
    options = _options(arguments)
    if not sys.platform.startswith("linux"):
        print("the benchmark reads /proc and needs Linux", file=sys.stderr)
        return 1
    cores = Cores.split()
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as name:
        folder = Path(name)
        # nginx drops root before it reads its folder.
        folder.chmod(0o755)
        clients = find_clients(cores.load, folder, own=options.own_load)
        report = Report(facts(cores, {"load": clients.name}))
        bench = Bench(
            cores,
            clients,
            folder,
            make_identity(folder),
            options.seconds,
            options.rounds,
            options.quick,
            not options.no_rivals,
            report,
        )
        try:
            measure_doors(bench)
            measure_whole(bench, options.fastapi)
        except NotMeasured as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    print(describe(report))
    if options.json:
        report.write(options.json)
    ours = [figure for figure in report.figures if figure.subject.startswith(TASKLANE)]
    return 1 if any(figure.errors or not figure.requests for figure in ours) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=2, help="of load for each case; whole ones with wrk"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of the front doors")
    parser.add_argument(
        "--quick", action="store_true", help="one number of connections, no warm-up"
    )
    parser.add_argument("--no-rivals", action="store_true", help="measure Tasklane only")
    parser.add_argument("--own-load", action="store_true", help="do not use wrk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--fastapi",
        type=Path,
        metavar="PYTHON",
        help="interpreter with fastapi, uvicorn, sqlalchemy, asyncpg, python-jose and slowapi",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
