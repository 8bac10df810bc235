"""The front doors that are compared: each verifies an RS256 token, counts requests and forwards."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.identity import Identity
from bench.machine import path_of, version_of
from bench.processes import await_status, free_port, python, started
from bench.upstream import Upstream

PATH = "/api/v2/tasks"

# Limits that are counted on every request, two of them, and that no measurement reaches.
LIMITS = """
[limits]
on_redis_failure = "local"
[limits.tiers]
anonymous = ["900000000/minute", "900000000/hour"]
default = ["900000000/minute", "900000000/hour"]
premium = ["900000000/minute", "900000000/hour"]
admin = ["900000000/minute", "900000000/hour"]
"""

_HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 30s
  timeout http-request 10s
frontend door
  bind 127.0.0.1:{port}
  stick-table type string len 64 size 100k expire 2m store http_req_rate(60s)
  unique-id-format %{{+X}}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-ID
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.sub) var(txn.bearer),jwt_payload_query('$.sub')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.iss) -m str tasklane }}
  http-request deny deny_status 401 unless {{ var(txn.aud) -m str tasklane-api }}
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request set-var(txn.good) var(txn.bearer),jwt_verify(txn.alg,"{key}")
  http-request deny deny_status 401 unless {{ var(txn.good) -m int 1 }}
  http-request track-sc0 var(txn.sub)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 900000000 }}
  http-request set-path %[path,regsub(^/api,)]
  default_backend tasks
backend tasks
  http-reuse always
  server tasks 127.0.0.1:{upstream}
"""


@dataclass(frozen=True, slots=True)
class Door:
    """A running front door."""

    name: str
    url: str
    process_id: int


@contextlib.contextmanager
def running_gateway(
    name: str,
    upstream: Upstream,
    folder: Path,
    cores: frozenset[int],
    *,
    headers: dict[str, str],
    redis_url: str | None = None,
) -> Iterator[Door]:
    """Our gateway as it is shipped, but for the numbers in the limits."""
    folder.mkdir()
    config, log = folder / "gateway.toml", folder / "gateway.log"
    config.write_text(LIMITS)
    port = free_port()
    environment = {
        # The upstream that is measured against publishes keys and no feed of revocations, which a
        # gateway in production does not start without.
        "ENVIRONMENT": "development",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "GATEWAY_OPS_PORT": str(free_port()),
        "GATEWAY_CONFIG": str(config),
        "AUTH_UPSTREAM": upstream.url,
        "TASKS_UPSTREAM": upstream.url,
        "AUTH_JWKS_URL": upstream.key_set,
        "REDIS_URL": redis_url or "",
        "LOG_LEVEL": "INFO",
    }
    with started(python("services.gateway"), cores, log, environment) as process_id:
        url = f"http://127.0.0.1:{port}{PATH}"
        await_status(url, 200, log, headers)
        yield Door(name, url, process_id)


@contextlib.contextmanager
def running_haproxy(
    upstream: Upstream,
    identity: Identity,
    folder: Path,
    cores: frozenset[int],
) -> Iterator[Door | None]:
    """HAProxy with JWT verification, a stick table and a proxy; None when it is not installed."""
    version = version_of("haproxy", "-v")
    if version is None:
        yield None
        return
    folder.mkdir()
    config, log = folder / "haproxy.cfg", folder / "haproxy.log"
    port = free_port()
    config.write_text(_HAPROXY.format(port=port, key=identity.public_key, upstream=upstream.port))
    command = [path_of("haproxy"), "-db", "-f", str(config)]
    with started(command, cores, log) as process_id:
        url = f"http://127.0.0.1:{port}{PATH}"
        await_status(url, 200, log, identity.headers)
        # A door that lets everybody in would be cheap for the wrong reason.
        await_status(url, 401, log, {"Authorization": identity.headers["Authorization"] + "x"})
        yield Door(f"HAProxy {version}", url, process_id)


@contextlib.contextmanager
def running_redis(folder: Path, cores: frozenset[int]) -> Iterator[str | None]:
    """The URL of a Redis of our own; None when no redis-server is installed."""
    if version_of("redis-server", "--version") is None:
        yield None
        return
    folder.mkdir()
    port = free_port()
    command = [path_of("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    with started(command, cores, folder / "redis.log"):
        yield f"redis://127.0.0.1:{port}/0"
