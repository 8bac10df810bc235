import base64

import pytest

from services.auth.passwords.peppers import Peppers

KEY = base64.b64encode(b"k" * 32).decode()
SHORT = base64.b64encode(b"k" * 31).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", "not base64|shorter"),
        (f":{KEY}", "needs an id"),
        (f"A:{KEY}", "needs an id"),
        (f"a$b:{KEY}", "needs an id"),
        (f"a:{KEY},a:{KEY}", "needs an id of its own"),
        ("a:not base64!", "not base64"),
        (f"a:{SHORT}", "shorter than 32"),
    ],
)
def test_a_bad_list_is_refused_without_quoting_a_key(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        Peppers.parse(text)
    assert KEY not in str(caught.value)
    assert SHORT not in str(caught.value)


def test_no_list_mixes_nothing_in() -> None:
    peppers = Peppers.parse("")
    assert peppers.current == ""
    assert peppers.mix("otters", "") == b"otters"


def test_the_first_key_is_the_current_one_and_none_is_shown() -> None:
    peppers = Peppers.parse(f"new:{KEY},old:{base64.b64encode(b'o' * 32).decode()}")
    assert peppers.current == "new"
    assert peppers.mix("otters", "new") != peppers.mix("otters", "old")
    assert peppers.mix("otters", "gone") is None
    assert "kkkk" not in repr(peppers)


def test_one_password_however_its_accents_are_composed() -> None:
    peppers = Peppers()
    assert peppers.mix("caf\u00e9", "") == peppers.mix("cafe\u0301", "")
    assert peppers.mix("Cafe", "") != peppers.mix("cafe", "")
    assert peppers.mix("\ufb01sh", "") != peppers.mix("fish", "")
