"""Where the signing secrets of webhooks are stored, which is what they are sealed for."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from shared.sealing import Place


class WebhookSecret(StrEnum):
    """The columns that hold secrets."""

    PRESENT = "secret"
    PREVIOUS = "previous_secret"


def place_of(webhook_id: UUID, column: WebhookSecret) -> Place:
    """The place of one secret of a webhook."""
    return Place("webhooks", column.value, str(webhook_id))
