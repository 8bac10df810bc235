"""Whether the system answers, asked the way a client asks."""

import http.client
import json
from urllib.parse import urlsplit

from deploy.local.plan import GATEWAY, Plan, Program

_TIMEOUT_SECONDS = 2.0


def missing(plan: Plan) -> str | None:
    """What is not there yet, in words; None when requests through the door work."""
    for program in plan.programs:
        trouble = missing_program(plan, program)
        if trouble is not None:
            return trouble
    return _missing_door(plan) if GATEWAY in plan.programs else None


def missing_program(plan: Plan, program: Program) -> str | None:
    """What keeps one process from being ready, None when it is."""
    status, body = _get(plan.url(program.ops_port) + "/health/ready")
    return None if status == 200 else f"{program.name} is not ready: {_short(status, body)}"


def _missing_door(plan: Plan) -> str | None:
    door = plan.url("GATEWAY_PORT")
    status, body = _get(door + "/api/versions")
    if status != 200:
        return f"GET /api/versions: {_short(status, body)}"
    # The aggregate is good only when the gateway reaches auth and tasks.
    status, body = _get(door + "/health")
    try:
        good = status == 200 and json.loads(body).get("status") in ("healthy", "degraded")
    except (ValueError, AttributeError):
        good = False
    return None if good else f"GET /health: {_short(status, body)}"


def _get(url: str) -> tuple[int, bytes]:
    """Status and body; 0 and the reason when there is no answer. Uses no proxy settings."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read(65_536)
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()


def _short(status: int, body: bytes) -> str:
    return f"{status or 'no answer'} {body[:300].decode(errors='replace')}".strip()
