"""`python -m services.tasks`: serve, or one of the commands."""

from __future__ import annotations

import argparse
import json
from typing import TypeVar

from services.tasks.app import MIGRATIONS, TITLE, start
from services.tasks.command_line import re_encrypt
from services.tasks.routes import ENDPOINTS
from services.tasks.settings import DatabaseSettings, SecretsSettings, Settings
from services.tasks.worker import start_worker
from shared.app import API_VERSIONS
from shared.openapi import document
from shared.process import refuse, run
from shared.settings import SettingsError, load

NAME = "tasks"
S = TypeVar("S")


def main() -> None:
    arguments = _parser().parse_args()
    match arguments.command:
        case "migrate":
            # Alembic and SQLAlchemy take a second and 25 MiB: no serving process loads them.
            from shared.migrations import upgrade  # noqa: PLC0415

            upgrade(_load(DatabaseSettings).database_url, MIGRATIONS)
        case "secrets":
            re_encrypt(_load(SecretsSettings))
        case "worker":
            run(f"{NAME}-worker", Settings, start_worker)
        case "openapi":
            print(json.dumps(document(TITLE, arguments.version, ENDPOINTS), indent=2))
        case _:
            run(NAME, Settings, start)


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


def _load(settings_type: type[S]) -> S:
    try:
        return load(settings_type)
    except SettingsError as error:
        refuse(NAME, str(error))


if __name__ == "__main__":
    main()
