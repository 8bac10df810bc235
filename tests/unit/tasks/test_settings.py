"""What tasks refuses to start with."""

import pytest

from services.tasks.settings import Settings
from shared.settings import SettingsError, load
from tests.sealing import OLD


def test_for_development_the_database_is_all_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKS_DATABASE_URL", "postgresql://u:secret-t7hKq@db/tasks")
    monkeypatch.setenv("ENVIRONMENT", "development")
    settings = load(Settings)
    assert (settings.port, settings.ops_port, settings.worker_ops_port) == (8082, 9082, 9083)
    assert settings.trash_days == 30
    assert "secret-t7hKq" not in repr(settings)


def test_every_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TASKS_DATABASE_URL": "",
        "TASKS_PORT": "70000",
        "AUTH_JWKS_URL": "ftp://auth/keys",
        "TRASH_DAYS": "-1",
        "TASKS_DATABASE_POOL": "0",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load(Settings)
    assert set(refused.value.problems) == {
        "TASKS_DATABASE_URL",
        "TASKS_PORT",
        "AUTH_JWKS_URL",
        "TRASH_DAYS",
        "TASKS_DATABASE_POOL",
    }


def test_production_needs_keys_that_encrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKS_DATABASE_URL", "postgresql://u:secret-t7hKq@db/tasks")
    with pytest.raises(SettingsError) as refused:
        load(Settings)
    assert set(refused.value.problems) == {"ENCRYPTION_KEYS"}
    monkeypatch.setenv("ENCRYPTION_KEYS", OLD)
    assert OLD not in repr(load(Settings))
    monkeypatch.setenv("ENCRYPTION_KEYS", f"k1:{'A' * 44}")
    with pytest.raises(SettingsError) as refused:
        load(Settings)
    assert set(refused.value.problems) == {"ENCRYPTION_KEYS"}
