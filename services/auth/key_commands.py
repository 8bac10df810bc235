"""Commands about the keys of auth, for a person beside the service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from prometheus_client import CollectorRegistry

from services.auth.app import open_database
from services.auth.repository import AuthStore
from services.auth.settings import Settings
from services.auth.usecases import signing_keys
from shared.errors import ApiError
from shared.process import StartRefused, refuse

T = TypeVar("T")
_NAME = "auth keys"


def list_keys(settings: Settings) -> None:
    """Prints every signing key with its state, the oldest first."""
    for key in _run(settings, signing_keys.list_keys):
        current = settings.sealing_keys.is_current(key.private_key)
        note = "" if current else "  not sealed with the first of ENCRYPTION_KEYS"
        print(f"{key.kid}  {key.state:8} since {key.state_since:%Y-%m-%d %H:%M:%S} UTC{note}")


def rotate(settings: Settings) -> None:
    """Publishes the next key, and says when it signs; exits with 1 when one is published."""
    kid = _run(settings, lambda store: signing_keys.rotate(store, settings.sealing_keys))
    if kid is None:
        _fail("the next key is published already: `keys list` shows it")
    print(f"published {kid}, which signs in {settings.signing_key_publish_seconds:.0f} s")


def retire(settings: Settings, kid: str) -> None:
    """Withdraws a key at once; exits with 1 when there is none such."""
    if not _run(settings, lambda store: signing_keys.retire(store, settings.sealing_keys, kid)):
        _fail(f"there is no key {kid}")
    print(f"withdrawn {kid}: every token that it signed is refused within seconds")


def re_encrypt(settings: Settings) -> None:
    """Encrypts every key with the first of ENCRYPTION_KEYS; exits with 1 if some are unreadable."""
    if not settings.encryption_keys:
        refuse(_NAME, "ENCRYPTION_KEYS: Must be set.")
    done = _run(settings, lambda store: signing_keys.reseal(store, settings.sealing_keys))
    print(f"keys {done.seen}, encrypted again {done.changed}, unreadable {done.unreadable}")
    if done.unreadable:
        sys.exit(1)


def _run(settings: Settings, work: Callable[[AuthStore], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_database(settings, CollectorRegistry()) as store:
            return await work(store)

    try:
        return asyncio.run(run())
    except StartRefused as error:
        refuse(_NAME, str(error))
    except ApiError as error:
        _fail(error.text)


def _fail(reason: str) -> NoReturn:
    sys.stderr.write(f"{_NAME}: {reason}\n")
    sys.exit(1)
