"""Watches the certificate of the public address, which whoever ends TLS in front presents."""

from __future__ import annotations

import asyncio
import math
import ssl
from contextlib import suppress

import structlog
from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge

log = structlog.get_logger(__name__)

LOOK_SECONDS = 600.0
RETRY_SECONDS = 30.0
HANDSHAKE_SECONDS = 10.0
DEFAULT_PORT = 443


class DoorCertificate:
    """Exports when the certificate of `address`, a host or host:port, ends.

    Without an address nothing is asked and the figure is NaN, as it is while nobody answers there.
    """

    def __init__(self, address: str | None, registry: CollectorRegistry) -> None:
        self._address = address
        self._expires = Gauge(
            "door_certificate_expires_timestamp_seconds",
            "When the certificate of PUBLIC_ADDRESS ends",
            registry=registry,
        )
        self._expires.set(math.nan)
        self._failures = Counter(
            "door_certificate_failures_total",
            "Looks at the certificate of PUBLIC_ADDRESS that failed",
            registry=registry,
        )

    async def watch(self) -> None:
        """Looks for ever, or not at all; a background task runs it."""
        while self._address is not None:
            seen = await self.look(*host_and_port(self._address))
            await asyncio.sleep(LOOK_SECONDS if seen else RETRY_SECONDS)

    async def look(self, host: str, port: int) -> bool:
        """One TLS handshake; whether a certificate was seen."""
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                expires = await _expiry(host, port)
        except (OSError, TimeoutError, ValueError) as error:
            self._failures.inc()
            self._expires.set(math.nan)
            log.warning("door_certificate_unknown", host=host, port=port, error=repr(error))
            return False
        self._expires.set(expires)
        return True


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of `host`, `host:port` or `[address]:port`. Raises ValueError."""
    host, separator, port = address.rpartition(":")
    if not separator or address.endswith("]"):
        host, port = address, str(DEFAULT_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    if not host or not 0 < int(port) <= 65_535:
        raise ValueError("neither host nor host:port")
    return host, int(port)


async def _expiry(host: str, port: int) -> float:
    """`notAfter` (RFC 5280 section 4.1.2.5) as epoch seconds. Raises OSError and ValueError."""
    # The certificate is looked at, not trusted: one that has ended must still be seen.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if der is None:
            raise ValueError("no certificate was presented")
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
