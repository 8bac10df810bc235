"""What GATEWAY_CONFIG says, as frozen values. Reading and checking the file: `config_file`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Timeouts
from services.gateway.limits.policies import FailureMode, LimitPolicy, RouteRule, TierRules
from services.gateway.upstream.pool import UpstreamSettings


class Access(StrEnum):
    """What a route asks of a caller's identity."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


class Status(StrEnum):
    """The states of an API version, in the order of its life."""

    PREVIEW = "preview"
    STABLE = "stable"
    DEPRECATED = "deprecated"
    SUNSET = "sunset"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Brownout:
    """A time during which a version on its way out answers as if it were gone."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One API version. Times are aware; a date without a time is midnight UTC."""

    name: str
    status: Status
    since: datetime | None = None
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    successor: str | None = None
    brownouts: tuple[Brownout, ...] = ()

    @property
    def number(self) -> int:
        """The 7 of v7."""
        return int(self.name[1:])

    @property
    def is_leaving(self) -> bool:
        """Whether its end is stated, be it ahead or past."""
        dated = self.deprecated_at is not None or self.sunset_at is not None
        return dated or self.status is Status.RETIRED


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service by name: how to reach it, and how long its routes wait unless they say else."""

    name: str
    transport: UpstreamSettings
    timeouts: Timeouts

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self.transport.endpoints


@dataclass(frozen=True, slots=True)
class Route:
    """Requests below `prefix`, on segment borders, go to `upstream`.

    `versioned` routes live below /api/vN and reach the upstream as /vN...; others keep their path.
    `templates` and `target_prefixes` hold, by version name (or "" where there is none), the
    metrics label and what goes before the service path on the way to the upstream. With
    `compress` large answers are compressed for who asks; with `cache` public ones are kept for all,
    and so many seconds past their time they stand in for a service that fails (`stale_if_error`).
    """

    prefix: str
    upstream: str
    access: Access
    timeouts: Timeouts
    max_body: int
    retries: int
    versioned: bool
    raw_errors: bool
    templates: dict[str, str]
    target_prefixes: dict[str, str]
    compress: bool = False
    cache: bool = False
    stale_if_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Cors:
    """Whose browsers may read answers. No origins: CORS is off. `max_age` is seconds."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    allow_headers: tuple[str, ...] = (
        "Accept", "API-Version", "Authorization", "Content-Type", "Idempotency-Key", "If-Match",
        "If-None-Match", "X-API-Key", "X-CSRF-Token", "X-Request-ID",
    )  # fmt: skip
    expose_headers: tuple[str, ...] = (
        "API-Version", "Deprecation", "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy",
        "Retry-After", "Sunset", "X-RateLimit-Limit", "X-RateLimit-Remaining",
        "X-RateLimit-Reset", "X-Request-ID",
    )  # fmt: skip
    allow_credentials: bool = False
    max_age: int = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """Rate limits. `redis_timeout` is seconds."""

    on_redis_failure: FailureMode = FailureMode.LOCAL
    redis_timeout: float = 0.25
    tiers: TierRules = field(default_factory=dict)
    routes: tuple[RouteRule, ...] = ()
    refused_credentials: tuple[LimitPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file, checked. `digest` names its content in metrics and logs."""

    default_version: str
    versions: dict[str, Version]
    limits: Limits
    server: ServerLimits
    upstreams: dict[str, Upstream]
    routes: tuple[Route, ...]
    cors: Cors
    digest: str
