"""What the gateway reads from its environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marshmallow import ValidationError

from services.gateway.clients import Network, parse_networks
from services.gateway.config_file import SHIPPED
from services.gateway.door_certificate import host_and_port
from shared.settings import ProcessSettings, at_least, setting
from shared.settings import port as tcp_port

MOST_WORKERS = 64


def networks(value: str) -> None:
    """Addresses and CIDRs, comma-separated."""
    try:
        parse_networks(value)
    except ValueError as error:
        raise ValidationError(f"Must be addresses or networks, comma-separated: {error}.") from None


def endpoints(value: str) -> None:
    """Base URLs, comma-separated."""
    if not split(value):
        raise ValidationError("Must be http://host:port, several separated by commas.")


def tls_address(value: str) -> None:
    """A host or host:port."""
    try:
        host_and_port(value)
    except ValueError:
        raise ValidationError("Must be a host or host:port, an IPv6 address in brackets.") from None


def worker_count(value: int) -> None:
    """How many processes serve the public port."""
    if not 1 <= value <= MOST_WORKERS:
        raise ValidationError(f"Must be 1 to {MOST_WORKERS}.")


def split(value: str) -> tuple[str, ...]:
    """The parts of a comma-separated list."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


@dataclass(frozen=True)
class Settings(ProcessSettings):
    """The gateway's own variables; routes and limits are in the file that GATEWAY_CONFIG names."""

    port: int = setting("GATEWAY_PORT", "Public port.", default=8080, check=tcp_port)
    ops_port: int = setting("GATEWAY_OPS_PORT", "Ops port.", default=9080, check=tcp_port)
    workers: int = setting(
        "WORKERS",
        "Processes that serve the public port. More than one need REDIS_URL: limits hold for all.",
        default=1,
        check=worker_count,
    )
    config: str | None = setting(
        "GATEWAY_CONFIG",
        "TOML file over the shipped one, which is deploy/gateway.toml.",
        default=None,
    )
    config_watch_seconds: float = setting(
        "GATEWAY_CONFIG_WATCH_SECONDS",
        "Pause between looks at GATEWAY_CONFIG, taken once it has changed; 0: on SIGHUP only.",
        default=0.0,
        check=at_least(0),
    )
    auth_upstream: str | None = setting(
        "AUTH_UPSTREAM",
        "Endpoints of auth, comma-separated; replace those of the file.",
        default=None,
        check=endpoints,
    )
    tasks_upstream: str | None = setting(
        "TASKS_UPSTREAM",
        "Endpoints of tasks, comma-separated; replace those of the file.",
        default=None,
        check=endpoints,
    )
    jwks_url: str | None = setting(
        "AUTH_JWKS_URL",
        "Where the keys of access tokens are; by default at the first endpoint of auth.",
        default=None,
    )
    token_issuer: str = setting("TOKEN_ISSUER", "`iss` of access tokens.", default="tasklane")
    token_audience: str = setting(
        "TOKEN_AUDIENCE", "`aud` of access tokens.", default="tasklane-api"
    )
    redis_url: str | None = setting(
        "REDIS_URL",
        "Redis for rate limits that several gateways share, without which each counts for itself, "
        "and for pages of lists that several processes of tasks share.",
        default=None,
        secret=True,
    )
    service_credential: str = setting(
        "SERVICE_CREDENTIAL",
        "Key that services buy tokens for `/internal` of auth with, at least 32 characters. Auth "
        "takes several, separated by commas, while one replaces another. Production needs it.",
        default="",
        secret=True,
    )
    revocation_stale_seconds: float = setting(
        "REVOCATION_STALE_SECONDS",
        "Tokens are refused with 503 when auth has told nothing of revocations for this long.",
        default=300.0,
        check=at_least(10),
    )
    public_address: str | None = setting(
        "PUBLIC_ADDRESS",
        "Host, or host:port, where users reach the gateway by TLS: its certificate is watched.",
        default=None,
        check=tls_address,
    )
    trusted_proxies: str = setting(
        "TRUSTED_PROXIES",
        "Networks whose X-Forwarded-For is believed, comma-separated.",
        default="",
        check=networks,
    )

    def problems(self) -> dict[str, list[str]]:
        """What several variables together make impossible."""
        if self.workers > 1 and not self.redis_url:
            return {"WORKERS": ["Must be 1 without REDIS_URL: each would count limits for itself."]}
        return {}

    @property
    def upstream_endpoints(self) -> dict[str, tuple[str, ...]]:
        """The endpoints that the environment puts in place of the file's."""
        given = {"auth": self.auth_upstream, "tasks": self.tasks_upstream}
        return {name: split(urls) for name, urls in given.items() if urls}

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        return parse_networks(self.trusted_proxies)

    @property
    def config_path(self) -> Path:
        return SHIPPED if self.config is None else Path(self.config)
