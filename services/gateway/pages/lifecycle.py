"""GET /api/versions: the versions with their state and dates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.gateway.config import Version
from services.gateway.exchange import Answer, Exchange
from services.gateway.pages.page import json_answer
from services.gateway.rules import Rules
from services.gateway.versions import Phase


async def versions(_exchange: Exchange, rules: Rules) -> Answer:
    """Every version there is, retired ones included, in the order of the configuration."""
    return json_answer(
        {
            "default": rules.versions.default,
            "versions": [
                shown(version, rules.versions.phase(name))
                for name, version in rules.config.versions.items()
            ],
        }
    )


def shown(version: Version, phase: Phase) -> dict[str, Any]:
    """One version; times are RFC 3339 in the offset of the configuration."""
    return {
        "version": version.name,
        "status": phase.status,
        "since": _text(version.since),
        "deprecated_at": _text(version.deprecated_at),
        "sunset_at": _text(version.sunset_at),
        "successor": version.successor,
        "brownouts": [
            {"from": _text(window.begin), "until": _text(window.end)}
            for window in version.brownouts
        ],
        "openapi": f"/api/{version.name}/openapi.json",
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
