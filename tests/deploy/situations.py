"""What happens to a system on a bad day, made to happen: every board then has something to show."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.conftest import System

PASSWORD = "a quiet morning walk"
WRONG = "wrong " * 3
# Small bounds, so that each of them is met with few requests.
VARIABLES = {
    "WEBHOOKS_ALLOW_PRIVATE": "true",
    "WEBHOOKS_SCHEDULE_SCALE": "0.000001",
    "LOCKOUT_FAILURES": "2",
    "SPRAYING_ACCOUNTS_PER_ADDRESS": "4",
}
CONFIG = """
[limits]
on_redis_failure = "local"
[limits.tiers]
anonymous = ["100000/minute"]
default = ["100000/minute"]
[[limits.routes]]
match = "GET /webhooks"
key = "user"
policies = ["1/hour"]
[upstreams.auth]
[upstreams.tasks]
timeouts = { first_byte = 3 }
breaker = { after = 3 }
"""


def ask(
    system: System,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = "",
    headers: dict[str, str] | None = None,
    cookies: CookieJar | None = None,
) -> tuple[int, Any]:
    """Status and decoded JSON of one request through the gateway."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{system.url}/api{path}", data, method=method)
    sent = {"Content-Type": "application/json"} | (headers or {})
    if token:
        sent["Authorization"] = f"Bearer {token}"
    for name, value in sent.items():
        request.add_header(name, value)
    browser = urllib.request.HTTPCookieProcessor(cookies)
    try:
        with urllib.request.build_opener(browser).open(request, timeout=30) as answer:
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.load(answer) if is_json else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def register(system: System, email: str) -> dict[str, Any]:
    """The tokens of a new account."""
    account = {"name": "Ada", "email": email, "password": PASSWORD}
    status, tokens = ask(system, "POST", "/v2/auth/register", account)
    assert status == 201
    found: dict[str, Any] = tokens
    return found


def log_in_wrongly(system: System, email: str) -> int:
    body = {"email": email, "password": WRONG}
    return ask(system, "POST", "/v1/auth/login", body)[0]


def a_browser_is_refused_and_served(system: System, email: str) -> None:
    """Its session is looked up; what comes without its token or from another site is refused."""
    jar = CookieJar()
    body = {"email": email, "password": PASSWORD}
    ours = {"Sec-Fetch-Site": "same-origin"}
    path = "/v2/auth/session-login"
    assert ask(system, "POST", path, body, headers=ours, cookies=jar)[0] == 200
    assert ask(system, "GET", "/v2/tasks", headers=ours, cookies=jar)[0] == 200
    for site in ("same-origin", "cross-site"):
        sent = {"Sec-Fetch-Site": site, "X-CSRF-Token": "of another site"}
        status, _ = ask(system, "POST", "/v2/tasks", {"title": "No"}, headers=sent, cookies=jar)
        assert status == 403


def a_refresh_token_comes_back(system: System, tokens: dict[str, Any]) -> None:
    latest = tokens
    for _ in range(2):
        body = {"refresh_token": latest["refresh_token"]}
        status, latest = ask(system, "POST", "/v2/auth/refresh", body)
        assert status == 200, latest
    # Once its successor is used, the first of them can only be a copy.
    body = {"refresh_token": tokens["refresh_token"]}
    status, refusal = ask(system, "POST", "/v2/auth/refresh", body)
    assert status == 401, refusal


def receivers_fail(system: System, token: str, hook: str) -> None:
    """One receiver fails until its delivery is given up, another says that it is gone."""
    for status in (500, 410):
        webhook = {"url": f"{hook}{status}"}
        assert ask(system, "POST", "/v2/webhooks", webhook, token=token)[0] == 201
    assert ask(system, "POST", "/v2/tasks", {"title": "Told"}, token=token)[0] == 201


def a_limit_is_met(system: System, token: str) -> None:
    answers = [ask(system, "GET", "/v2/webhooks", token=token)[0] for _ in range(2)]
    assert answers == [200, 429], answers


def an_account_is_locked(system: System, email: str) -> None:
    answers = [log_in_wrongly(system, email) for _ in range(3)]
    assert answers == [401, 401, 423], answers


def an_address_sprays(system: System) -> None:
    """Guesses at one account after the other; from then on nobody logs in from this address."""
    answers = [log_in_wrongly(system, f"nobody{number}@example.com") for number in range(5)]
    assert (answers[0], answers[-1]) == (401, 429), answers


@contextmanager
def a_door(folder: Path) -> Iterator[str]:
    """host:port of somebody who ends TLS in front, with a certificate for a month."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "door.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def writes_that_nobody_answers(system: System, token: str) -> Iterator[None]:
    """Enough of them under way in the block to open the breaker; they end with it."""

    def write() -> None:
        assert ask(system, "POST", "/v2/tasks", {"title": "Late"}, token=token)[0] in {503, 504}

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
