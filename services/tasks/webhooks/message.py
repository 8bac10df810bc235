"""The body of a delivery."""

from __future__ import annotations

from typing import Any

import orjson

from services.tasks.repository.deliveries import Claim

TEST = "webhook.test"


def body_of(claim: Claim) -> bytes:
    """The event as JSON: the same bytes at every attempt.

    `type` is the name of Standard Webhooks, `event` the one of our clients; they are equal.
    """
    message: dict[str, Any] = {
        "id": str(claim.event_id),
        "type": claim.type,
        "event": claim.type,
        "timestamp": claim.at or claim.created_at,
        "data": {} if claim.task is None else orjson.Fragment(claim.task),
        "sequence": claim.sequence,
    }
    if claim.previous is not None:
        message["previous"] = orjson.Fragment(claim.previous)
    return orjson.dumps(message, option=orjson.OPT_UTC_Z)
