import pytest

from services.auth.app import start
from services.auth.settings import Settings
from shared.process import StartRefused
from shared.settings import SettingsError, load
from tests.sealing import OLD

URL = "postgresql://auth:a-long-random-one@db/auth"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTH_DATABASE_URL", "ENVIRONMENT", "PASSWORD_PEPPERS", "AUTH_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVICE_CREDENTIAL", "k" * 32)
    monkeypatch.setenv("ENCRYPTION_KEYS", OLD)


def test_production_needs_a_service_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", URL)
    monkeypatch.delenv("SERVICE_CREDENTIAL")
    with pytest.raises(StartRefused, match="SERVICE_CREDENTIAL"):
        start(load(Settings))


@pytest.mark.parametrize("credential", ["short", f"{'k' * 32},short"])
def test_a_service_key_that_might_be_guessed_is_refused(
    monkeypatch: pytest.MonkeyPatch, credential: str
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", URL)
    monkeypatch.setenv("SERVICE_CREDENTIAL", credential)
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    assert set(caught.value.problems) == {"SERVICE_CREDENTIAL"}


def test_every_problem_is_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_PORT", "99999")
    monkeypatch.setenv("LOCKOUT_FAILURES", "0")
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    assert set(caught.value.problems) == {"AUTH_DATABASE_URL", "AUTH_PORT", "LOCKOUT_FAILURES"}


def test_rules_over_several_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", URL)
    monkeypatch.setenv("SESSION_SECONDS", "10")
    monkeypatch.setenv("LOCKOUT_MAX_SECONDS", "10")
    monkeypatch.setenv("PASSWORD_PEPPERS", "a:c2hvcnQ=")
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    assert set(caught.value.problems) == {
        "SESSION_SECONDS",
        "LOCKOUT_MAX_SECONDS",
        "PASSWORD_PEPPERS",
    }


@pytest.mark.parametrize("password", ["postgres", "PASSWORD", "short", "tasklane", "auth"])
def test_production_refuses_a_database_password_that_anybody_would_try(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", f"postgresql://auth:{password}@db/auth")
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    assert set(caught.value.problems) == {"AUTH_DATABASE_URL"}
    assert f":{password}@" not in str(caught.value)
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert load(Settings).development


@pytest.mark.parametrize("url", [URL, "postgresql://auth@db/auth", "postgresql:///auth?host=/run"])
def test_a_good_password_or_none_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", url)
    settings = load(Settings)
    assert settings.database_url == url
    assert url not in repr(settings)


def test_production_needs_encryption_keys_and_time_for_a_new_key_to_get_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", URL)
    monkeypatch.delenv("ENCRYPTION_KEYS")
    monkeypatch.setenv("SIGNING_KEY_PUBLISH_SECONDS", "299")
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    assert set(caught.value.problems) == {"ENCRYPTION_KEYS", "SIGNING_KEY_PUBLISH_SECONDS"}
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert load(Settings).key_life.publish.total_seconds() == 299


@pytest.mark.parametrize(("life", "kept"), [("900", 970), ("60", 370)])
def test_a_key_outlives_all_that_it_signed(
    monkeypatch: pytest.MonkeyPatch, life: str, kept: int
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", URL)
    monkeypatch.setenv("ACCESS_TOKEN_SECONDS", life)
    assert load(Settings).key_life.keep.total_seconds() == kept
