"""Tasks put together: its resources in start order, and the service that they make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.tasks.auth_keys import AuthKeys
from services.tasks.handlers import keys
from services.tasks.page_store import MemoryPages, Pages, RedisPages, redis_outcomes
from services.tasks.repository.answers import AnswerRepository
from services.tasks.repository.catalogues import CatalogueReader, Catalogues
from services.tasks.repository.counts import Counts
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.imports import ImportRepository
from services.tasks.repository.lists import TaskLists
from services.tasks.repository.tasks import TaskRepository
from services.tasks.repository.trash import TrashRepository
from services.tasks.repository.webhooks import WebhookRepository
from services.tasks.revisions import MIGRATE_COMMAND, MIGRATIONS
from services.tasks.routes import ENDPOINTS
from services.tasks.settings import Settings
from services.tasks.usecases.creations import Creations
from services.tasks.usecases.import_turns import ImportTurns
from services.tasks.usecases.lists import CURSORS, revisions
from services.tasks.usecases.tasks import finder
from shared.app import Resource, Service, serve
from shared.database import Database, Store
from shared.health import Check, Health
from shared.identity import AccessTokenVerifier, KeySource
from shared.metrics import new_registry
from shared.middleware import VERIFIER
from shared.process import StartRefused
from shared.revisions import head
from shared.tally import Tally

TITLE = "Tasklane tasks"
# Every query is about one owner, so reading everybody's tasks is never the way, whatever it looks
# like while the table is small or one owner has most of it.
PLANNER = {"enable_seqscan": "off", "random_page_cost": "1.1"}


def build(settings: Settings, *, key_source: KeySource | None = None) -> Service:
    """The service with all that it holds; nothing is opened before it is served.

    Without a `key_source` the keys that verify access tokens come from auth.
    """
    registry = new_registry("tasks")
    database = new_database(settings, registry, application="tasks")
    auth_keys = AuthKeys(settings.jwks_url, registry)
    redis = _redis_pages(settings, database, redis_outcomes(registry))
    optional: dict[str, Check] = {} if redis is None else {"redis": redis.ping}
    # Tokens stay verifiable while auth is away, so that only degrades, once there were keys.
    of_keys: dict[str, Check] = {} if key_source is not None else {"auth_keys": auth_keys.check}
    return Service(
        name="tasks",
        title=TITLE,
        endpoints=ENDPOINTS,
        resources=(
            _database(database),
            _pages(Pages(MemoryPages(), redis, registry), redis),
            _rules(settings),
            _verifier(settings, key_source or auth_keys),
        ),
        registry=registry,
        critical={"database": database.check},
        optional=optional | of_keys,
        first=of_keys,
    )


def start(settings: Settings) -> AbstractAsyncContextManager[Health]:
    """Serves tasks until left."""
    return serve(build(settings), settings, port=settings.port, ops_port=settings.ops_port)


def new_database(settings: Settings, registry: CollectorRegistry, *, application: str) -> Database:
    """The pool as the settings want it, not yet open."""
    return Database(
        settings.database_url,
        registry,
        application=application,
        max_size=settings.database_pool,
        planner=PLANNER,
    )


def _database(database: Database) -> Resource:
    catalogues = Catalogues(Store(database, CatalogueReader))

    async def resource(app: web.Application) -> AsyncIterator[None]:
        await database.open()
        try:
            await database.require_revision(head(MIGRATIONS), MIGRATE_COMMAND)
            app[keys.TASKS] = Store(database, TaskRepository)
            app[keys.FINDER] = finder(app[keys.TASKS])
            app[keys.CREATIONS] = Creations(app[keys.TASKS])
            lists = partial(TaskLists, counts=Counts(), catalogues=catalogues)
            app[keys.LISTS] = Store(database, lists)
            app[keys.ANSWERS] = Store(database, AnswerRepository)
            app[keys.TRASH] = Store(database, TrashRepository)
            app[keys.WEBHOOKS] = Store(database, WebhookRepository)
            app[keys.FEED] = Store(database, FeedRepository)
            app[keys.REVISIONS] = revisions(app[keys.FEED])
            app[keys.IMPORTS] = Store(database, ImportRepository)
            app[keys.IMPORT_TURNS] = ImportTurns()
            yield
        finally:
            await catalogues.close()
            await database.close()

    return resource


def _pages(pages: Pages, redis: RedisPages | None) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[keys.PAGES] = pages
        yield
        if redis is not None:
            await redis.close()

    return resource


def _redis_pages(settings: Settings, database: Database, outcomes: Tally) -> RedisPages | None:
    if settings.redis_url is None:
        return None
    try:
        # A retry would make a request wait; the breaker and the next request are the retry.
        client = Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise StartRefused(f"REDIS_URL: {error}") from error
    return RedisPages(
        client, _secret(Store(database, partial(TaskLists, counts=Counts()))), outcomes
    )


def _secret(lists: Store[TaskLists]) -> Callable[[], Awaitable[bytes]]:
    """Reads the secret that seals pages, once."""
    known: list[bytes] = []

    async def secret() -> bytes:
        if not known:
            async with lists.read() as repository:
                known.append(await repository.secret(CURSORS))
        return known[0]

    return secret


def _rules(settings: Settings) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[keys.TRASH_KEPT] = timedelta(days=settings.trash_days)
        app[keys.SEALING] = settings.sealing_keys
        app[keys.STRICT] = settings.require_if_match
        yield

    return resource


def _verifier(settings: Settings, source: KeySource) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[VERIFIER] = AccessTokenVerifier(
            source, issuer=settings.token_issuer, audience=settings.token_audience
        )
        async with source.kept_fresh() if isinstance(source, AuthKeys) else nullcontext():
            yield

    return resource
