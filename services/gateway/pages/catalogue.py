"""GET /api/errors: every error code, and what `type` in a problem document points to."""

from __future__ import annotations

from services.gateway.exchange import Answer, Exchange
from services.gateway.pages.page import json_answer
from services.gateway.rules import Rules
from shared import errors


async def catalogue(_exchange: Exchange, _rules: Rules) -> Answer:
    """The contract's codes by status; `type` is what RFC 9457 documents carry."""
    entries = [
        {
            "code": error.code,
            "status": error.status,
            "title": error.message,
            "type": f"{errors.CATALOGUE_PATH}#{error.code}",
        }
        for error in errors.catalogue()
    ]
    return json_answer({"errors": entries}, cache=b"public, max-age=300")
