"""What `python -m services.auth` can be asked for: to serve, or one of the commands."""

from __future__ import annotations

import argparse

from services.auth.audit.anchor import anchor
from services.auth.revisions import MIGRATIONS
from services.auth.settings import DatabaseSettings
from shared.loading import uncollected
from shared.migrating import migrate

NAME = "auth"


def main() -> None:
    """Does what the command line says."""
    arguments = _parser().parse_args()
    if arguments.command == "migrate":
        migrate(NAME, DatabaseSettings, MIGRATIONS)
        return
    # Only here: a step that migrates needs nothing of the service.
    with uncollected():
        from services.auth.programs import perform  # noqa: PLC0415
    perform(NAME, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.auth", description="Tasklane auth")
    commands = parser.add_subparsers(dest="command", title="commands (none: serve)")
    commands.add_parser("migrate", help="bring the database to the newest revision")
    admin = commands.add_parser(
        "create-admin",
        help="make an administrator",
        description="Reads the password from standard input when something is piped into it; "
        "else makes one and prints it once.",
    )
    admin.add_argument("--email", required=True, help="address of the account")
    admin.add_argument("--name", default="Administrator", help="name of the account")
    _add_audit(commands.add_parser("audit", help="check or export the audit log"))
    _add_keys(commands.add_parser("keys", help="the keys that sign access tokens"))
    return parser


def _add_audit(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest="task", title="tasks", required=True)
    verify = tasks.add_parser(
        "verify",
        help="check every link and seal",
        description="Exits with 0 when the log is intact, with 1 and the first bad row when not.",
    )
    verify.add_argument(
        "--anchor",
        action="append",
        default=[],
        type=anchor,
        metavar="SEQUENCE:HASH",
        help="a `last event` that an earlier run printed, and that is kept elsewhere",
    )
    verify.add_argument(
        "--days", type=float, help="how long events were to be kept (default: AUDIT_DAYS)"
    )
    tasks.add_parser("export", help="print events, seals and their public keys as JSON lines")


def _add_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show them with their states")
    actions.add_parser("rotate", help="publish the next one, which signs once everybody knows it")
    retire = actions.add_parser("retire", help="withdraw one at once, with all that it signed")
    retire.add_argument("kid", help="its id, as `keys list` shows it")
    actions.add_parser("re-encrypt", help="encrypt all stored keys with the first encryption key")
