"""`python -m services.auth`: serve, or one of the commands."""

from __future__ import annotations

import argparse
from typing import TypeVar

from services.auth.app import MIGRATIONS, start
from services.auth.command_line import create_admin
from services.auth.settings import DatabaseSettings, Settings
from shared.process import refuse, run
from shared.settings import SettingsError, load

NAME = "auth"
S = TypeVar("S")


def main() -> None:
    arguments = _parser().parse_args()
    match arguments.command:
        case "migrate":
            # Alembic and SQLAlchemy take a second and 25 MiB: no serving process loads them.
            from shared.migrations import upgrade  # noqa: PLC0415

            upgrade(_load(DatabaseSettings).database_url, MIGRATIONS)
        case "create-admin":
            create_admin(_load(Settings), email=arguments.email, name=arguments.name)
        case _:
            run(NAME, Settings, start)


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
    return parser


def _load(settings_type: type[S]) -> S:
    try:
        return load(settings_type)
    except SettingsError as error:
        refuse(NAME, str(error))


if __name__ == "__main__":
    main()
