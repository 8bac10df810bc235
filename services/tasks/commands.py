"""What `python -m services.tasks` can be asked for: to serve, or one of the commands."""

from __future__ import annotations

import argparse

from services.tasks.revisions import MIGRATIONS
from services.tasks.settings import DatabaseSettings
from shared.loading import uncollected
from shared.migrating import migrate
from shared.version import API_VERSIONS

NAME = "tasks"


def main() -> None:
    """Does what the command line says."""
    arguments = _parser().parse_args()
    if arguments.command == "migrate":
        migrate(NAME, DatabaseSettings, MIGRATIONS)
        return
    # Only here: a step that migrates needs nothing of the service.
    with uncollected():
        from services.tasks.programs import perform  # noqa: PLC0415
    perform(NAME, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.tasks", description="Tasklane tasks")
    commands = parser.add_subparsers(dest="command", title="commands (none: serve)")
    commands.add_parser("migrate", help="bring the database to the newest revision")
    commands.add_parser("worker", help="empty the trash of what has been in it long enough")
    secrets = commands.add_parser("secrets", help="the secrets that are stored encrypted")
    secrets.add_argument(
        "action", choices=["re-encrypt"], help="encrypt all of them with the first key"
    )
    openapi = commands.add_parser("openapi", help="print the OpenAPI document")
    openapi.add_argument("version", choices=API_VERSIONS)
    return parser
