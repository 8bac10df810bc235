"""What must hold between the parts of a configuration, beyond the form of each."""

from __future__ import annotations

from services.gateway.config import Config, Status, Version
from services.gateway.limits.policies import LimitPolicy

Problems = dict[str, list[str]]

# These belong to the gateway itself.
RESERVED = ("/", "/api", "/docs", "/health", "/internal")


def check(config: Config) -> Problems:
    """Every inconsistency, by the path of the key to change. Empty: the configuration holds."""
    problems: Problems = {}
    _check_versions(config, problems)
    _check_routes(config, problems)
    _check_limits(config, problems)
    if config.cors.allow_credentials and "*" in config.cors.allow_origins:
        _add(problems, "cors.allow_credentials", 'cannot be true for any origin ("*")')
    return problems


def _add(problems: Problems, path: str, reason: str) -> None:
    problems.setdefault(path, []).append(reason)


def _check_versions(config: Config, problems: Problems) -> None:
    default = config.versions.get(config.default_version)
    if default is None:
        _add(problems, "default_version", "is not one of the versions")
    elif default.status is Status.RETIRED:
        _add(problems, "default_version", "is retired")
    for name, version in config.versions.items():
        path = f"versions.{name}"
        _check_dates(path, version, problems)
        _check_brownouts(path, version, problems)
        successor = version.successor
        if successor is not None:
            _check_successor(f"{path}.successor", name, successor, config, problems)


def _check_dates(path: str, version: Version, problems: Problems) -> None:
    since, deprecated_at, sunset_at = version.since, version.deprecated_at, version.sunset_at
    if since and deprecated_at and deprecated_at < since:
        _add(problems, f"{path}.deprecated_at", "is before since")
    if since and sunset_at and sunset_at < since:
        _add(problems, f"{path}.sunset_at", "is before since")
    if deprecated_at and sunset_at and sunset_at < deprecated_at:
        # RFC 9745 section 4: Sunset is never earlier than Deprecation.
        _add(problems, f"{path}.sunset_at", "is before deprecated_at")
    if version.status in (Status.DEPRECATED, Status.SUNSET) and deprecated_at is None:
        _add(problems, f"{path}.deprecated_at", f"is required by status {version.status}")
    if version.status is Status.SUNSET and sunset_at is None:
        _add(problems, f"{path}.sunset_at", "is required by status sunset")


def _check_brownouts(path: str, version: Version, problems: Problems) -> None:
    if version.brownouts and version.status is not Status.SUNSET:
        _add(problems, f"{path}.brownouts", "are for status sunset only")
    for index, window in enumerate(version.brownouts):
        at = f"{path}.brownouts[{index}]"
        if window.end <= window.begin:
            _add(problems, at, "ends before it begins")
        if version.deprecated_at and window.begin < version.deprecated_at:
            _add(problems, at, "begins before deprecated_at")
        if version.sunset_at and window.end > version.sunset_at:
            _add(problems, at, "ends after sunset_at")


def _check_successor(
    path: str, name: str, successor: str, config: Config, problems: Problems
) -> None:
    if successor not in config.versions:
        _add(problems, path, "is not one of the versions")
        return
    if config.versions[successor].status is Status.RETIRED:
        _add(problems, path, "is retired")
    seen, at = {name}, successor
    while at in config.versions:
        if at in seen:
            _add(problems, path, "leads back to itself")
            return
        seen.add(at)
        at = config.versions[at].successor or ""


def _check_routes(config: Config, problems: Problems) -> None:
    seen: set[tuple[bool, str]] = set()
    for index, route in enumerate(config.routes):
        path = f"routes[{index}]"
        if route.upstream not in config.upstreams:
            _add(problems, f"{path}.upstream", f"there is no upstream {route.upstream}")
        if (route.versioned, route.prefix) in seen:
            _add(problems, f"{path}.prefix", "is there twice")
        seen.add((route.versioned, route.prefix))
        top = "/" + route.prefix[1:].partition("/")[0].lower()
        if top == "/internal" or (not route.versioned and top in RESERVED):
            _add(problems, f"{path}.prefix", "is reserved")
        if any(segment in (".", "..") for segment in route.prefix.split("/")):
            _add(problems, f"{path}.prefix", "must not have dot segments")
        if route.cache and route.compress:
            _add(problems, f"{path}.cache", "cannot be true together with compress")
        if route.stale_if_error and not route.cache:
            _add(problems, f"{path}.stale_if_error", "needs cache = true")


def _check_limits(config: Config, problems: Problems) -> None:
    names: dict[str, str] = {}

    def claim(policy: LimitPolicy, path: str) -> None:
        if policy.name in names:
            _add(problems, path, f"policy {policy.name} is also made by {names[policy.name]}")
        names.setdefault(policy.name, path)

    for tier, policies in config.limits.tiers.items():
        for policy in policies:
            claim(policy, f"limits.tiers.{tier}")
    for policy in config.limits.refused_credentials:
        claim(policy, "limits.refused_credentials")
    of_tiers = [policy for policies in config.limits.tiers.values() for policy in policies]
    for index, rule in enumerate(config.limits.routes):
        path = f"limits.routes[{index}]"
        for policy in rule.policies:
            claim(policy, path)
        if not rule.policies and rule.cost == 1:
            _add(problems, path, "has neither policies nor a cost")
        for policy in (*of_tiers, *rule.policies):
            if rule.cost > policy.count and not policy.shadow:
                _add(problems, f"{path}.cost", f"is more than {policy.name} ever holds")
