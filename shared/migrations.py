"""Schema migrations by Alembic, as a step of their own: no serving process migrates."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command, context
from alembic.config import Config
from sqlalchemy import pool, text
from sqlalchemy.ext.asyncio import create_async_engine

# Two migrators at once take turns on this advisory lock.
_LOCK = 7_235_610


def upgrade(database_url: str, location: str | Path) -> None:
    """Brings the database at `database_url` to the newest revision in the folder `location`.

    Each revision commits on its own. Raises what the server says.
    """
    config = Config()
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


def run_env() -> None:
    """The body of each service's `migrations/env.py`."""
    asyncio.run(_migrate(context.config.attributes["database_url"]))


async def _migrate(database_url: str) -> None:
    async def connect() -> Any:
        return await asyncpg.connect(database_url, timeout=10)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, poolclass=pool.NullPool
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
            # A migration that waits for a lock must not make everybody queue behind it.
            await connection.execute(text("SET lock_timeout = '10s'"))
            await connection.commit()
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Any) -> None:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
