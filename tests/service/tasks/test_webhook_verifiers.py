"""Our deliveries, verified in another language by a program that knows the specification only."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from services.tasks.settings import Settings
from services.tasks.webhooks.signature import new_secret, shown_secret
from tests.service.tasks.client import Client
from tests.service.tasks.receiver import Receiver, hook, until, working

VERIFIER = Path(__file__).with_name("verify_webhook.mjs")
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not on this machine")


def accepted(secret: str, headers: dict[str, str], body: bytes, now: float | None = None) -> bool:
    assert NODE is not None
    given = json.dumps({"headers": headers, "body": body.decode()})
    command = [NODE, str(VERIFIER), secret, str(int(now or time.time()))]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


async def test_node_accepts_our_signatures_and_no_others(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    rotated = (await ann.call("POST", f"/v2/webhooks/{webhook['id']}/rotate-secret")).data
    await ann.created(title="Ünïcode ☃, \U0001f600 and \\u0000")
    async with working(settings):
        await until(lambda: bool(receiver.got["a"]))
    headers, body = receiver.headers["a"][0], receiver.bodies["a"][0]
    assert accepted(webhook["secret"], headers, body)
    assert accepted(rotated["secret"], headers, body)
    assert not accepted(shown_secret(new_secret()), headers, body)
    assert not accepted(rotated["secret"], headers, body + b" ")
    assert not accepted(rotated["secret"], {**headers, "webhook-id": "other"}, body)
    assert not accepted(rotated["secret"], headers, body, now=time.time() + 600)
