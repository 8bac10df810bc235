"""Who is told: takes events, checks their signatures, and refuses some to have them again."""

from __future__ import annotations

import hashlib
import hmac
import random
from base64 import b64decode, b64encode
from typing import NamedTuple

import orjson
from aiohttp import web

_REFUSED_OF_A_HUNDRED = 5


class Receipt(NamedTuple):
    """One event as it came in."""

    event_id: str
    task_id: str
    sequence: int
    accepted: bool


class Receiver:
    """Takes events at `/{owner}`, in the order in which they come."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.secrets: dict[str, bytes] = {}
        self.receipts: dict[str, list[Receipt]] = {}
        self.forged = 0

    def app(self) -> web.Application:
        """The application that receives."""
        app = web.Application()
        app.router.add_post("/{owner}", self._take)
        return app

    def expect(self, owner: str, secret: str) -> None:
        """Takes events of `owner`, signed with the secret as the API showed it."""
        self.secrets[owner] = b64decode(secret.removeprefix("whsec_"))
        self.receipts[owner] = []

    async def _take(self, request: web.Request) -> web.Response:
        owner, body = request.match_info["owner"], await request.read()
        if not self._signed(owner, request, body):
            self.forged += 1
        event = orjson.loads(body)
        accepted = self._chance.randrange(100) >= _REFUSED_OF_A_HUNDRED
        self.receipts[owner].append(
            Receipt(event["id"], event["data"]["id"], event["sequence"], accepted)
        )
        return web.Response(status=204 if accepted else 500)

    def _signed(self, owner: str, request: web.Request, body: bytes) -> bool:
        head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
        wanted = hmac.digest(self.secrets[owner], head.encode() + body, hashlib.sha256)
        return request.headers["webhook-signature"] == f"v1,{b64encode(wanted).decode()}"
