"""Auth put together: its resources in start order, and the service that they make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry

from services.auth import handlers, internal
from services.auth.audit.keeper import AuditKeeper
from services.auth.audit.recording import Sampled
from services.auth.devices import Devices
from services.auth.events import AuthEvents
from services.auth.key_rotation import keep_rotating
from services.auth.keys import KeyRing
from services.auth.passwords.governor import HashGovernor, cpu_count
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.peppers import Peppers
from services.auth.purging import Purging
from services.auth.repository import AuthRepository, AuthStore
from services.auth.revisions import MIGRATE_COMMAND, MIGRATIONS
from services.auth.revocation_signal import RevocationSignal
from services.auth.routes import endpoints
from services.auth.service_access import ServiceAccess
from services.auth.settings import Settings
from services.auth.tokens import Tokens
from services.auth.usecases.guard import LoginGuard
from services.auth.usecases.lockout import Lockout
from shared.app import Resource, Service, serve
from shared.cookies import Cookies
from shared.database import Database
from shared.database_figures import DatabaseFigures
from shared.health import Health
from shared.identity import AccessTokenVerifier
from shared.metrics import new_registry
from shared.middleware import VERIFIER
from shared.process import StartRefused, background
from shared.revisions import head


def build(settings: Settings) -> Service:
    """The service with all that it holds; nothing is opened before it is served."""
    registry = new_registry("auth")
    database = _new_database(settings, registry)
    store = AuthStore(database, AuthRepository)
    keys = KeyRing(store, registry, settings.sealing_keys)
    return Service(
        name="auth",
        title="Tasklane auth",
        endpoints=(
            *endpoints(enumeration_safe=settings.enumeration_safe),
            *internal.ENDPOINTS,
        ),
        resources=(
            _database(settings, database, store, registry),
            _keys(settings, store, keys),
            _passwords(settings, registry),
            _rules(settings, keys, AuthEvents(registry)),
            _services(settings, keys),
            _audit(settings, store, keys, registry),
            _purging(settings, store, registry),
        ),
        middlewares=(handlers.note_origin,),
        stopping=(internal.answer_who_waits,),
        registry=registry,
        critical={"database": database.check, "signing_key": keys.check},
        optional={},
    )


def start(settings: Settings) -> AbstractAsyncContextManager[Health]:
    """Serves auth until left. Raises StartRefused where nobody could be told of revocations.

    Only who serves needs the key for that: commands do without.
    """
    if not settings.development and not settings.service_keys:
        raise StartRefused("SERVICE_CREDENTIAL: Must be set in production.")
    return serve(build(settings), settings, port=settings.port, ops_port=settings.ops_port)


@asynccontextmanager
async def open_database(
    settings: Settings, registry: CollectorRegistry
) -> AsyncIterator[AuthStore]:
    """The store for a command. Raises StartRefused for a schema that is too old."""
    database = _new_database(settings, registry)
    await database.open()
    try:
        await database.require_revision(head(MIGRATIONS), MIGRATE_COMMAND)
        yield AuthStore(database, AuthRepository)
    finally:
        await database.close()


def new_governor(settings: Settings, registry: CollectorRegistry) -> HashGovernor:
    """The governor as the settings want it."""
    return HashGovernor(
        registry,
        workers=settings.hash_workers or cpu_count(),
        queue=settings.hash_queue,
        queue_seconds=settings.hash_queue_seconds,
    )


def _new_database(settings: Settings, registry: CollectorRegistry) -> Database:
    return Database(
        settings.database_url, registry, application="auth", max_size=settings.database_pool
    )


def _database(
    settings: Settings, database: Database, store: AuthStore, registry: CollectorRegistry
) -> Resource:
    figures = DatabaseFigures(database, registry, room_bytes=settings.database_room)

    async def resource(app: web.Application) -> AsyncIterator[None]:
        await database.open()
        try:
            await database.require_revision(head(MIGRATIONS), MIGRATE_COMMAND)
            app[handlers.STORE] = store
            async with background(figures.watch):
                yield
        finally:
            await database.close()

    return resource


def _keys(settings: Settings, store: AuthStore, keys: KeyRing) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[handlers.KEYS] = keys
        app[VERIFIER] = AccessTokenVerifier(
            keys.published, issuer=settings.token_issuer, audience=settings.token_audience
        )
        # The first try is awaited, so that a process with a database is ready when it listens.
        await keys.published.refresh()
        if keys.unreadable is not None:
            raise StartRefused(str(keys.unreadable))
        rotating = partial(keep_rotating, store, keys, settings.sealing_keys, settings.key_life)
        async with background(keys.published.keep_fresh, rotating):
            yield

    return resource


def _passwords(settings: Settings, registry: CollectorRegistry) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        governor = new_governor(settings, registry)
        app[handlers.PASSWORDS] = Passwords(governor, Peppers.parse(settings.password_peppers))
        yield
        governor.close()

    return resource


def _rules(settings: Settings, keys: KeyRing, events: AuthEvents) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[handlers.TOKENS] = Tokens(
            keys,
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            access_seconds=settings.access_token_seconds,
        )
        app[handlers.LOCKOUT] = lockout = Lockout(keys, settings.lockout_policy)
        app[handlers.DEVICES] = devices = Devices(
            keys, timedelta(seconds=settings.device_cookie_seconds)
        )
        app[handlers.GUARD] = LoginGuard(lockout, devices, settings.spray_policy, events)
        app[handlers.COOKIES] = Cookies(production=not settings.development)
        app[handlers.SESSION_LIFE] = settings.session_life
        app[handlers.COOKIE_LIFE] = settings.cookie_life
        app[handlers.EVENTS] = events
        yield

    return resource


def _services(settings: Settings, keys: KeyRing) -> Resource:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[internal.SERVICES] = ServiceAccess(settings.service_keys, keys)
        app[internal.REFUSALS] = Sampled()
        app[internal.SIGNAL] = signal = RevocationSignal(settings.database_url)
        async with background(signal.listen):
            yield

    return resource


def _audit(
    settings: Settings, store: AuthStore, keys: KeyRing, registry: CollectorRegistry
) -> Resource:
    keeper = AuditKeeper(store, keys, registry, seal_seconds=settings.audit_seal_seconds)

    async def resource(_app: web.Application) -> AsyncIterator[None]:
        async with background(keeper.keep):
            yield

    return resource


def _purging(settings: Settings, store: AuthStore, registry: CollectorRegistry) -> Resource:
    purging = Purging(
        store,
        registry,
        pause_seconds=settings.purge_seconds,
        revocations_kept=settings.revocations_kept,
        audit_kept=settings.audit_kept,
    )

    async def resource(_app: web.Application) -> AsyncIterator[None]:
        async with background(purging.run):
            yield

    return resource
