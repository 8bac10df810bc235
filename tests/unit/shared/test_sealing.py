import base64
import hashlib

import pytest
from marshmallow import ValidationError

from shared.sealing import CannotUnseal, Place, SealingKeys, check_sealing_keys

PLACE = Place("webhooks", "secret", "0199a6f0-c0de-7000-8000-000000000001")
SECRET = b"what a receiver checks with 32 b"


def key(seed: str) -> str:
    return base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode()


OLD = SealingKeys.parse(f"k1:{key('old')}")
BOTH = SealingKeys.parse(f"k2:{key('new')},k1:{key('old')}")
NEW = SealingKeys.parse(f"k2:{key('new')}")


@pytest.mark.parametrize(
    "elsewhere",
    [
        PLACE._replace(row="0199a6f0-c0de-7000-8000-000000000002"),
        PLACE._replace(column="previous_secret"),
        PLACE._replace(table="totp"),
    ],
    ids=["row", "column", "table"],
)
def test_a_value_that_was_moved_does_not_open(elsewhere: Place) -> None:
    with pytest.raises(CannotUnseal, match="moved here"):
        OLD.unseal(OLD.seal(SECRET, PLACE), elsewhere)


def test_no_byte_can_be_changed_or_cut_off() -> None:
    sealed = OLD.seal(SECRET, PLACE)
    for at in range(4, len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(CannotUnseal):
            OLD.unseal(bytes(changed), PLACE)
    for length in range(60, len(sealed)):
        with pytest.raises(CannotUnseal):
            OLD.unseal(sealed[:length], PLACE)


def test_the_error_names_the_key_that_is_missing_and_nothing_secret() -> None:
    sealed = OLD.seal(SECRET, PLACE)
    for keys in (NEW, SealingKeys()):
        with pytest.raises(CannotUnseal, match="the key 'k1', which ENCRYPTION_KEYS") as caught:
            keys.unseal(sealed, PLACE)
        assert PLACE.row in str(caught.value)
        assert SECRET.decode() not in str(caught.value)


def test_another_key_under_the_same_name_does_not_open_it() -> None:
    with pytest.raises(CannotUnseal, match="'k1'"):
        SealingKeys.parse(f"k1:{key('other')}").unseal(OLD.seal(SECRET, PLACE), PLACE)


def test_all_keys_open_and_the_first_seals() -> None:
    before = OLD.seal(SECRET, PLACE)
    assert BOTH.unseal(before, PLACE) == SECRET
    assert (OLD.is_current(before), BOTH.is_current(before)) == (True, False)
    after = BOTH.seal(SECRET, PLACE)
    assert NEW.unseal(after, PLACE) == SECRET
    assert BOTH.is_current(after)


def test_equal_secrets_do_not_look_equal() -> None:
    one, other = OLD.seal(SECRET, PLACE), OLD.seal(SECRET, PLACE)
    assert one[-48:] != other[-48:]
    assert SECRET not in one


def test_plain_values_are_read_and_are_not_current_once_there_is_a_key() -> None:
    for plain in (SECRET, b"", b"tls1" + bytes(28)):
        assert BOTH.unseal(plain, PLACE) == plain
        assert not BOTH.is_current(plain)
        assert SealingKeys().is_current(plain)
    assert SealingKeys().seal(SECRET, PLACE) == SECRET


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("short:YWJj", "shorter than 32"),
        ("k1", "shorter|base64"),
        (f"k1:{key('a')},k1:{key('b')}", "id of its own"),
        (f"k1:{base64.b64encode(b'abc' * 16).decode()}", "not random"),
        (f"k1:{base64.b64encode(bytes(32)).decode()}", "not random"),
    ],
    ids=["short", "bare", "twice", "word", "zeros"],
)
def test_weak_keys_are_refused_without_quoting_them(text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        check_sealing_keys(text)
    assert text.partition(":")[2] not in str(caught.value) or text == "k1"


def test_random_keys_are_taken_and_not_shown() -> None:
    text = f"k2:{key('new')},k1:{key('old')}"
    check_sealing_keys(text)
    assert key("new") not in repr(SealingKeys.parse(text))
