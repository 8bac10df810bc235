"""What tasks and its worker read from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from marshmallow import ValidationError

from shared.database_url import has_weak_password, of_postgresql
from shared.sealing import SealingSettings
from shared.settings import ProcessSettings, at_least, setting
from shared.settings import port as port_number


def http_url(value: str) -> None:
    """An absolute http or https URL."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValidationError("Must be an http or https URL.")


@dataclass(frozen=True)
class DatabaseSettings:
    """What the commands that only need the database read."""

    database_url: str = setting(
        "TASKS_DATABASE_URL",
        "The database of tasks in PostgreSQL 14 or newer.",
        secret=True,
        check=of_postgresql,
    )


@dataclass(frozen=True)
class SecretsSettings(DatabaseSettings, SealingSettings):
    """What the commands about stored secrets read."""


@dataclass(frozen=True)
class Settings(SecretsSettings, ProcessSettings):
    """What the service and the worker read."""

    port: int = setting("TASKS_PORT", "Port of the API.", default=8082, check=port_number)
    ops_port: int = setting("TASKS_OPS_PORT", "Ops port of tasks.", default=9082, check=port_number)
    worker_ops_port: int = setting(
        "TASKS_WORKER_OPS_PORT", "Ops port of the worker of tasks.", default=9083, check=port_number
    )
    jwks_url: str = setting(
        "AUTH_JWKS_URL",
        "Where auth publishes the keys that verify access tokens.",
        default="http://127.0.0.1:8081/.well-known/jwks.json",
        check=http_url,
    )
    auth_internal_url: str = setting(
        "AUTH_INTERNAL_URL",
        "Where the worker of tasks asks auth which accounts have been deleted.",
        default="http://127.0.0.1:8081",
        check=http_url,
    )
    service_credential: str = setting(
        "SERVICE_CREDENTIAL",
        "Key that services buy tokens for `/internal` of auth with, at least 32 characters. Auth "
        "takes several, separated by commas, while one replaces another. Production needs it.",
        default="",
        secret=True,
    )
    token_issuer: str = setting("TOKEN_ISSUER", "`iss` of access tokens.", default="tasklane")
    token_audience: str = setting(
        "TOKEN_AUDIENCE", "`aud` of access tokens.", default="tasklane-api"
    )
    database_pool: int = setting(
        "TASKS_DATABASE_POOL", "Most connections to the database.", default=10, check=at_least(1)
    )
    database_room: int = setting(
        "TASKS_DATABASE_ROOM",
        "Bytes that the database may grow to, for the alert on its size; 0: no limit is known.",
        default=0,
        check=at_least(0),
    )
    redis_url: str | None = setting(
        "REDIS_URL",
        "Redis for rate limits that several gateways share, without which each counts for itself, "
        "and for pages of lists that several processes of tasks share.",
        default=None,
        secret=True,
    )
    require_if_match: bool = setting(
        "TASKS_REQUIRE_IF_MATCH",
        "Whether version 2 answers 428 to a change of a task without If-Match.",
        default=False,
    )
    trash_days: float = setting(
        "TRASH_DAYS",
        "Days that a deleted task is kept before the worker removes it for good.",
        default=30.0,
        check=at_least(0),
    )
    changes_days: float = setting(
        "CHANGES_DAYS",
        "Days that the change feed reaches back.",
        default=30.0,
        check=at_least(0),
    )
    webhooks_allow_private: bool = setting(
        "WEBHOOKS_ALLOW_PRIVATE",
        "Whether webhooks may point to loopback, private and link-local addresses.",
        default=False,
    )
    webhooks_schedule_scale: float = setting(
        "WEBHOOKS_SCHEDULE_SCALE",
        "Factor on the pauses between attempts of a delivery, for tests.",
        default=1.0,
        check=at_least(0),
    )
    webhooks_timeout_seconds: float = setting(
        "WEBHOOKS_TIMEOUT_SECONDS",
        "Longest time that a receiver may take to answer; a delivery whose worker was killed comes "
        "up again after twice that.",
        default=15.0,
        check=at_least(0.1),
    )
    webhooks_poll_seconds: float = setting(
        "WEBHOOKS_POLL_SECONDS",
        "Pause of the worker between two looks for due deliveries.",
        default=0.25,
        check=at_least(0.01),
    )
    purge_interval_seconds: float = setting(
        "TRASH_PURGE_SECONDS",
        "Pause of the worker between two looks for what has been kept long enough.",
        default=60.0,
        check=at_least(0.01),
    )

    def problems(self) -> dict[str, list[str]]:
        """Rules that one variable's check cannot hold."""
        found: dict[str, list[str]] = {}
        if self.development:
            return found
        if has_weak_password(self.database_url):
            found["TASKS_DATABASE_URL"] = ["The password in it is too weak for production."]
        if not self.encryption_keys:
            found["ENCRYPTION_KEYS"] = ["Must be set in production."]
        return found
