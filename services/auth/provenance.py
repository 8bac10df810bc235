"""Where the request in hand came from: the audit log reads it, as log lines read the request id."""

from __future__ import annotations

from contextvars import ContextVar

from services.auth.domain import Origin

# None outside a request: in commands and in what runs by itself.
current_origin: ContextVar[Origin | None] = ContextVar("current_origin", default=None)

INTERNAL = Origin(device="tasklane", address="")
