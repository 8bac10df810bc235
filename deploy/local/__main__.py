"""`python -m deploy.local` runs the system; with the name of a program, that program alone."""

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from typing import Any

from deploy.local.confine import end_with_parent
from deploy.local.console import complain
from deploy.local.errors import CannotRun
from deploy.local.plan import PROGRAMS
from deploy.local.supervisor import run_alone, run_system


def main(arguments: list[str] | None = None) -> int:
    """Runs until SIGINT, SIGTERM or SIGHUP, and returns 0; else the code of what went wrong."""
    parser = argparse.ArgumentParser(prog="deploy.local", description=__doc__)
    alone = {program.name: program for program in PROGRAMS}
    parser.add_argument("program", nargs="?", choices=alone, metavar="|".join(alone))
    parser.add_argument(
        "--with-parent", action="store_true", help="stop when the calling process is gone"
    )
    options = parser.parse_args(arguments)
    if options.with_parent:
        end_with_parent(signal.SIGTERM)
    try:
        if options.program is None:
            return asyncio.run(_until_signal(run_system(os.environ)))
        return asyncio.run(_until_signal(run_alone(os.environ, alone[options.program])))
    except CannotRun as error:
        complain(f"cannot run: {error}")
        return error.exit_code


async def _until_signal(job: Coroutine[Any, Any, int | None]) -> int:
    task = asyncio.ensure_future(job)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            # A second signal must not cut the orderly stop short.
            stopped = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        return await task or 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
