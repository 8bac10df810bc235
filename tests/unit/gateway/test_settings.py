"""What the gateway refuses to start with."""

from __future__ import annotations

import pytest

from services.gateway.settings import Settings
from shared.settings import SettingsError, load


@pytest.fixture(autouse=True)
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_URL_FILE", "WORKERS"):
        monkeypatch.delenv(name, raising=False)


def test_several_workers_need_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "2")
    with pytest.raises(SettingsError, match="WORKERS: Must be 1 without REDIS_URL"):
        load(Settings)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    assert load(Settings).workers == 2


def test_one_worker_needs_nothing() -> None:
    assert load(Settings).workers == 1


@pytest.mark.parametrize("value", ["0", "-1", "65", "many", "1.5"])
def test_a_number_of_workers_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORKERS", value)
    monkeypatch.setenv("GATEWAY_PORT", "70000")
    with pytest.raises(SettingsError) as refused:
        load(Settings)
    assert set(refused.value.problems) == {"WORKERS", "GATEWAY_PORT"}
