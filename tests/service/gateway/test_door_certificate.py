"""The certificate of the door: looked at even when it has ended, and never waited for."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from services.gateway import door_certificate
from services.gateway.door_certificate import DoorCertificate, host_and_port
from tests.ports import free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
ENDS = datetime(2031, 5, 17, 12, 0, tzinfo=UTC)
ENDED = datetime(2021, 5, 17, 12, 0, tzinfo=UTC)


def tls_context(folder: Path, ends: datetime) -> ssl.SSLContext:
    """A server's context with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tasks.example.com")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(ends - timedelta(days=90))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


@asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    open_ones: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(asyncio.ensure_future(answer(reader, writer)))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*open_ones)


async def leave(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def speak_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await reader.read()


class Figures:
    """A watch and what it exports."""

    def __init__(self, address: str | None = None) -> None:
        self.registry = CollectorRegistry()
        self.watch = DoorCertificate(address, self.registry)

    @property
    def expires(self) -> float | None:
        return self.registry.get_sample_value("door_certificate_expires_timestamp_seconds")

    @property
    def failures(self) -> float | None:
        return self.registry.get_sample_value("door_certificate_failures_total")


async def unseen(port: int) -> None:
    """Asserts that a look there fails, is counted, and leaves nothing known."""
    figures = Figures()
    assert await figures.watch.look("127.0.0.1", port) is False
    assert figures.expires is not None
    assert math.isnan(figures.expires)
    assert figures.failures == 1


async def test_nobody_there() -> None:
    await unseen(free_port())


@pytest.mark.parametrize("serve", [leave, speak_plainly])
async def test_no_tls_there(serve: Serve) -> None:
    async with serving(serve, None) as port:
        await unseen(port)


async def test_one_who_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_certificate, "HANDSHAKE_SECONDS", 0.05)
    async with serving(hang, None) as port:
        await unseen(port)


@pytest.mark.parametrize("ends", [ENDED, ENDS], ids=["ended", "good"])
async def test_the_end_is_told(tmp_path: Path, ends: datetime) -> None:
    figures = Figures()
    async with serving(hang, tls_context(tmp_path, ends)) as port:
        assert await figures.watch.look("127.0.0.1", port) is True
    assert figures.expires == ends.timestamp()
    assert figures.failures == 0


async def test_what_was_seen_is_forgotten_when_nobody_answers(tmp_path: Path) -> None:
    figures = Figures()
    async with serving(hang, tls_context(tmp_path, ENDS)) as port:
        await figures.watch.look("127.0.0.1", port)
    await figures.watch.look("127.0.0.1", port)
    assert figures.expires is not None
    assert math.isnan(figures.expires)


async def test_without_an_address_nothing_is_asked() -> None:
    figures = Figures()
    await figures.watch.watch()
    assert figures.failures == 0


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("tasks.example.com", ("tasks.example.com", 443)),
        ("tasks.example.com:8443", ("tasks.example.com", 8443)),
        ("[2001:db8::1]", ("2001:db8::1", 443)),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443)),
    ],
)
def test_an_address_is_taken_apart(address: str, parts: tuple[str, int]) -> None:
    assert host_and_port(address) == parts


@pytest.mark.parametrize("address", ["", ":443", "a:", "a:b", "a:0", "a:70000", "2001:db8::1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_and_port(address)
