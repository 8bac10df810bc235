"""`python -m deploy.local.demo FILE` tries a running system with a real file of tasks.

It ends with 0 when every step did what it says, else with 1 and the reason.
"""

import argparse
import io
import os
import sys
from pathlib import Path

from deploy.local.demo_client import Client, DemoFailed
from deploy.local.demo_file import TaskFile
from deploy.local.demo_metrics import show_metrics, system_url
from deploy.local.demo_screen import Screen
from deploy.local.demo_steps import Demo


def run(file: TaskFile, client: Client, screen: Screen) -> None:
    """All steps; the limit comes last, since nothing works for a while after it."""
    demo = Demo(client, screen)
    demo.enter()
    taken = demo.import_file(file)
    demo.import_again(file)
    demo.compare_export(taken)
    demo.show_open(taken)
    demo.show_filter(taken)
    demo.search(taken)
    demo.conflict()
    demo.reach_limit()


def main(arguments: list[str] | None = None) -> int:
    """Returns the code that the command ends with."""
    parser = argparse.ArgumentParser(
        prog="make demo", usage="make demo FILE=<jsonl> [URL=<address>]"
    )
    parser.add_argument("file", type=Path, help="JSON Lines, one task a line")
    parser.add_argument("--url", help="the gateway's address (default: the run of this machine)")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Titles are people's words, and a terminal may know ASCII only.
        sys.stdout.reconfigure(errors="replace")
    screen = Screen()
    try:
        file = TaskFile(options.file)
        client = Client(options.url or system_url(os.environ), screen.say)
        screen.title(f"Tasklane demo: {options.file} against {client.url}")
        try:
            run(file, client, screen)
        finally:
            client.close()
        show_metrics(screen, client.url, os.environ)
    except DemoFailed as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    except (KeyError, TypeError, AttributeError) as error:
        print(f"\nthe demo failed: an answer is not as promised: {error!r}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Nobody reads on. What is still in the buffer must not fail a second time at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    screen.title("\nEvery step did what it says.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
