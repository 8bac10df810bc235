import base64
import zlib
from uuid import UUID

import pytest

from services.auth.tokens import (
    REFRESH_PREFIX,
    RefreshToken,
    open_refresh_token,
    seal_refresh_token,
)

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
TOKEN = RefreshToken(UUID("0199a6f0-c0de-7000-8000-000000000001"), 7)
TEXT = seal_refresh_token(KEY, TOKEN)


def changed(at: int, *, checksum_kept: bool) -> str:
    """TEXT with one bit of the byte `at` turned, its checksum right or stale."""
    encoded = TEXT.removeprefix(REFRESH_PREFIX)
    body = bytearray(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    body[at] ^= 1
    if not checksum_kept:
        body[-4:] = zlib.crc32(body[:-4]).to_bytes(4, "big")
    return REFRESH_PREFIX + base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def test_what_was_sealed_is_read_back() -> None:
    assert open_refresh_token(KEY, TEXT) == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        REFRESH_PREFIX,
        TEXT.removeprefix(REFRESH_PREFIX),
        TEXT[:-1],
        TEXT + "=",
        TEXT + "A",
        TEXT + "\n",
        " " + TEXT,
        TEXT.upper(),
        TEXT.replace(REFRESH_PREFIX, "tla_"),
        REFRESH_PREFIX + "A" * 55,
        REFRESH_PREFIX + "é" * 55,
        REFRESH_PREFIX + "A" * 100_000,
        "\x00" * 59,
        "eyJhbGciOiJub25lIn0.e30.",
    ],
)
def test_junk_is_nobodys(text: str) -> None:
    assert open_refresh_token(KEY, text) is None


@pytest.mark.parametrize("at", [0, 1, 16, 17, 20, 21, 36])
@pytest.mark.parametrize("checksum_kept", [True, False])
def test_a_changed_version_session_counter_or_seal_is_refused(at: int, checksum_kept: bool) -> None:
    assert open_refresh_token(KEY, changed(at, checksum_kept=checksum_kept)) is None


def test_another_key_opens_nothing() -> None:
    assert open_refresh_token(OTHER_KEY, TEXT) is None


def test_a_token_has_exactly_one_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    opened = [last for last in alphabet if open_refresh_token(KEY, TEXT[:-1] + last)]
    assert opened == [TEXT[-1]]
