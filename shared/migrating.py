"""The command that migrates a service's database: it loads nothing of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from shared.loading import uncollected
from shared.process import load_or_refuse


class DatabaseSettings(Protocol):
    """The part of a service's settings that is used here."""

    @property
    def database_url(self) -> str:
        """Where the database is."""


def migrate(name: str, settings_type: type[DatabaseSettings], revisions: Path) -> None:
    """Brings the database of the service `name` to the newest of its `revisions`.

    Exits with 78 for bad settings, and raises what the server says.
    """
    # Alembic and SQLAlchemy take a second and 25 MiB: no serving process loads them.
    with uncollected():
        from shared.migrations import upgrade  # noqa: PLC0415
    upgrade(load_or_refuse(name, settings_type).database_url, revisions)
