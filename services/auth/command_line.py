"""Commands that a person runs beside the service."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import NoReturn

from marshmallow import ValidationError
from prometheus_client import CollectorRegistry

from services.auth.app import new_governor, open_database
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.peppers import Peppers
from services.auth.schemas import Registration
from services.auth.settings import Settings
from services.auth.usecases.administrators import create_administrator
from shared.clock import utc_now
from shared.errors import ApiError
from shared.process import StartRefused, refuse
from shared.schemas import flatten_messages

_MADE_PASSWORD_BYTES = 18
_MOST_PIPED = 4096


def create_admin(settings: Settings, *, email: str, name: str) -> None:
    """Makes an administrator, or says why not and exits with 1."""
    piped = _piped_line()
    password = piped or secrets.token_urlsafe(_MADE_PASSWORD_BYTES)
    try:
        given = Registration().load({"name": name, "email": email, "password": password})
        asyncio.run(_create(settings, **given))
    except ValidationError as error:
        _fail(flatten_messages(error.messages))
    except StartRefused as error:
        refuse("auth create-admin", str(error))
    except ApiError as error:
        _fail(error.details or {"reason": [error.text]})
    print(f"administrator {given['email']} created")
    if not piped:
        print(f"password, shown this once: {password}")


def _piped_line() -> str:
    """The first line of standard input; empty when that is a terminal, closed or empty."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.readline(_MOST_PIPED).rstrip("\r\n")


async def _create(settings: Settings, *, name: str, email: str, password: str) -> None:
    registry = CollectorRegistry()
    governor = new_governor(settings, registry)
    try:
        async with open_database(settings, registry) as store:
            await create_administrator(
                store,
                Passwords(governor, Peppers.parse(settings.password_peppers)),
                name=name,
                email=email,
                password=password,
                now=utc_now(),
            )
    finally:
        governor.close()


def _fail(problems: dict[str, list[str]]) -> NoReturn:
    sys.stderr.write("no administrator was created:\n")
    for field, reasons in problems.items():
        sys.stderr.write(f"  {field}: {' '.join(reasons)}\n")
    sys.exit(1)
