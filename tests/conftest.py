"""Fixtures that every level shares: real databases and a real Redis, empty for each test."""

import gc
import os
from collections.abc import Iterator

import pytest
import structlog
from xdist.remote import Producer

from tests import postgres, redis_server
from tests.databases import Databases
from tests.sharing import InFiles, arrange

# What structlog does unless told otherwise takes a second of computing for one traceback.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def pytest_report_header() -> list[str]:
    """Says which servers the tests run on: a fallback must not go unnoticed."""
    return [f"postgresql: {postgres.describe()}", f"redis: {redis_server.describe()}"]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> InFiles:
    """Which process runs what."""
    return InFiles(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What begins first."""
    arrange(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Reads the tests; they stay to the end, and nobody looks through them for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """The PostgreSQL of this test process."""
    with postgres.running(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def auth_database_url(databases: Databases) -> Iterator[str]:
    """A database of auth: migrated, empty, for this test alone."""
    url = databases.lend("auth")
    yield url
    databases.take_back("auth", url)


@pytest.fixture
def tasks_database_url(databases: Databases) -> Iterator[str]:
    """A database of tasks: migrated, empty, for this test alone."""
    url = databases.lend("tasks")
    yield url
    databases.take_back("tasks", url)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A database with nothing in it, for tests of the migrations themselves."""
    url = databases.empty()
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    with redis_server.running(tmp_path_factory.mktemp("redis"), int(worker)) as url:
        yield url


@pytest.fixture
def redis_url(_redis: str) -> str:
    """A Redis without a key in it."""
    redis_server.empty(_redis)
    return _redis
