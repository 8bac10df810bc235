"""A configuration as the stages use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.config import Config
from services.gateway.cors import Cors
from services.gateway.limits.policies import PolicyBook
from services.gateway.routes import RouteTable
from services.gateway.versions import Versions
from shared.tally import Cell


@dataclass(frozen=True, slots=True)
class Rules:
    """What a request is judged by. A reload replaces all of it at once."""

    config: Config
    routes: RouteTable
    versions: Versions
    policies: PolicyBook
    cors: Cors


def make_rules(config: Config, version_seen: Callable[[tuple[str, str]], Cell]) -> Rules:
    """The rules of `config`; `version_seen` gives where a version and its signal are counted."""
    return Rules(
        config=config,
        routes=RouteTable(config.routes),
        versions=Versions(config.versions, config.default_version, seen=version_seen),
        policies=PolicyBook(
            config.limits.tiers, config.limits.routes, config.limits.refused_credentials
        ),
        cors=Cors(config.cors),
    )
