"""Reads GATEWAY_CONFIG over the shipped file, checks all of it, and makes a Config of it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from marshmallow import ValidationError

from services.gateway import config_schema
from services.gateway.config import (
    Access,
    Brownout,
    Config,
    Cors,
    Limits,
    Route,
    Status,
    Upstream,
    Version,
)
from services.gateway.config_rules import Problems, check
from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Timeouts
from services.gateway.limits.policies import (
    FailureMode,
    Key,
    LimitPolicy,
    RouteRule,
    policies_of,
)
from services.gateway.upstream.checks import CheckSettings
from services.gateway.upstream.health import HealthSettings
from services.gateway.upstream.pool import UpstreamSettings
from shared.identity import Tier

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "gateway.toml"
DEFAULT_MAX_BODY = 1_048_576
DEFAULT_RETRIES = 1


class ConfigError(Exception):
    """The file cannot be used; `problems` holds every reason by the path of its key."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        self.problems = dict(problems)
        super().__init__(
            "\n".join(f"{path}: {'; '.join(why)}" for path, why in sorted(self.problems.items()))
        )


def read_config(path: Path, endpoints: Mapping[str, tuple[str, ...]]) -> Config:
    """The configuration in `path`; `endpoints` by upstream take the place of the file's.

    A top-level table that the file leaves out keeps the shipped value; one that it has replaces
    it whole. Raises ConfigError with every problem found.
    """
    document = _parse(SHIPPED)
    if path.resolve() != SHIPPED:
        document = {**document, **_parse(path)}
    return make_config(document, endpoints)


def make_config(document: dict[str, Any], endpoints: Mapping[str, tuple[str, ...]]) -> Config:
    """Checks a whole document and makes a Config of it. Raises ConfigError."""
    document = _with_endpoints(document, endpoints)
    try:
        checked: dict[str, Any] = config_schema.File().load(document)
    except ValidationError as error:
        raise ConfigError(config_schema.flatten(error.messages)) from None
    config = _build(checked, digest_of(document))
    problems: Problems = check(config)
    if problems:
        raise ConfigError(problems)
    return config


def digest_of(document: dict[str, Any]) -> str:
    """A short name for the content, the same in every process that has read the same."""
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(canonical).hexdigest()[:12]


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError({str(path): [f"cannot be read: {error.strerror}"]}) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError({str(path): [f"is not TOML: {error}"]}) from error


def _with_endpoints(
    document: dict[str, Any], endpoints: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    upstreams = document.get("upstreams", {})
    if not isinstance(upstreams, dict):
        return document
    replaced = dict(upstreams)
    for name, urls in endpoints.items():
        known = upstreams.get(name, {})
        if isinstance(known, dict):
            replaced[name] = {**known, "endpoints": list(urls)}
    return {**document, "upstreams": replaced}


def _build(checked: dict[str, Any], digest: str) -> Config:
    versions = _versions(checked["versions"])
    upstreams = {name: _upstream(name, given) for name, given in checked["upstreams"].items()}
    server = dict(checked["server"])
    max_body = server.pop("max_body", DEFAULT_MAX_BODY)
    return Config(
        default_version=checked["default_version"],
        versions=versions,
        limits=_limits(checked["limits"]),
        server=ServerLimits(**server),
        upstreams=upstreams,
        routes=tuple(
            _route(given, list(versions), upstreams, max_body) for given in checked["routes"]
        ),
        cors=Cors(**{key: _frozen(value) for key, value in checked["cors"].items()}),
        digest=digest,
    )


def _versions(given: dict[str, dict[str, Any]]) -> dict[str, Version]:
    """The versions by name. One that is leaving and names no successor has the next stable one."""
    versions = {name: _version(name, one) for name, one in given.items()}
    lasting = sorted(
        (one for one in versions.values() if not one.is_leaving and one.status is Status.STABLE),
        key=lambda one: one.number,
    )
    for name, one in versions.items():
        if one.is_leaving and one.successor is None:
            after = (other.name for other in lasting if other.number > one.number)
            versions[name] = replace(one, successor=next(after, None))
    return versions


def _version(name: str, given: dict[str, Any]) -> Version:
    brownouts = tuple(Brownout(**window) for window in given.pop("brownouts", ()))
    status = Status(given.pop("status"))
    return Version(name=name, status=status, brownouts=brownouts, **given)


def _upstream(name: str, given: dict[str, Any]) -> Upstream:
    health, transport = HealthSettings(), UpstreamSettings(tuple(given["endpoints"]))
    ejection, breaker = given.get("ejection", {}), given.get("breaker", {})
    health = replace(
        health,
        eject_after=ejection.get("after", health.eject_after),
        base_ejection=ejection.get("base", health.base_ejection),
        max_ejection=ejection.get("longest", health.max_ejection),
        slow_start=ejection.get("slow_start", health.slow_start),
    )
    transport = replace(
        transport,
        health=health,
        check=CheckSettings(**given["check"]) if "check" in given else None,
        max_connections=given.get("max_connections", transport.max_connections),
        idle_seconds=given.get("keep_alive", transport.idle_seconds),
        breaker_threshold=breaker.get("after", transport.breaker_threshold),
        breaker_seconds=breaker.get("pause", transport.breaker_seconds),
    )
    return Upstream(name, transport, Timeouts(**given.get("timeouts", {})))


def _route(
    given: dict[str, Any], versions: list[str], upstreams: dict[str, Upstream], max_body: int
) -> Route:
    prefix, versioned = given["prefix"], given.get("versioned", True)
    upstream = upstreams.get(given["upstream"])
    timeouts = Timeouts() if upstream is None else upstream.timeouts
    below = "" if prefix == "/" else prefix
    return Route(
        prefix=prefix,
        upstream=given["upstream"],
        access=Access(given["auth"]),
        timeouts=replace(timeouts, **given.get("timeouts", {})),
        max_body=given.get("max_body", max_body),
        retries=given.get("retries", DEFAULT_RETRIES),
        versioned=versioned,
        raw_errors=given.get("raw_errors", False),
        templates={name: f"/api/{name}{below}" for name in versions} if versioned else {"": prefix},
        target_prefixes={name: f"/{name}" for name in versions} if versioned else {"": ""},
        compress=given.get("compress", False),
        cache=given.get("cache", False),
        stale_if_error=given.get("stale_if_error", 0.0),
    )


def _limits(given: dict[str, Any]) -> Limits:
    mode = FailureMode(given.get("on_redis_failure", FailureMode.LOCAL))
    tiers = {
        Tier(name): tuple(policies_of(name, rates, on_failure=mode))
        for name, rates in given.get("tiers", {}).items()
    }
    rules = tuple(_rule(rule, mode) for rule in given.get("routes", ()))
    refusals = tuple(
        policies_of(
            "refused-credentials",
            given.get("refused_credentials", ()),
            key=Key.ADDRESS,
            on_failure=mode,
        )
    )
    limits = Limits(on_redis_failure=mode, tiers=tiers, routes=rules, refused_credentials=refusals)
    if "redis_timeout" in given:
        limits = replace(limits, redis_timeout=given["redis_timeout"])
    return limits


def _rule(given: dict[str, Any], mode: FailureMode) -> RouteRule:
    method, _, path = given["match"].partition(" ")
    name = given.get("name") or _slug(given["match"])
    policies: tuple[LimitPolicy, ...] = tuple(
        policies_of(
            name,
            given.get("policies", ()),
            key=Key(given.get("key", Key.CALLER)),
            shadow=given.get("shadow", False),
            on_failure=FailureMode(given.get("on_redis_failure", mode)),
        )
    )
    return RouteRule(method, path, given.get("cost", 1), policies)


def _slug(match: str) -> str:
    words = match.replace("*", "any").replace("/", " ").split()
    return "-".join(words).lower()


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
