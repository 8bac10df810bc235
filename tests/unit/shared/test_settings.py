"""Settings: every problem at once, and nothing secret in what is said about them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest

from shared.settings import (
    ProcessSettings,
    SettingsError,
    at_least,
    load,
    one_of,
    port,
    setting,
    variables,
)


@dataclass(frozen=True)
class Sample(ProcessSettings):
    url: str = setting("SAMPLE_URL", "Where it is.", secret=True)
    number: int = setting("SAMPLE_PORT", "Its port.", default=8080, check=port)
    kind: str = setting("SAMPLE_KIND", "Its kind.", default="a", check=one_of("a", "b"))
    loud: bool = setting("SAMPLE_LOUD", "Whether.", default=False)
    seconds: float | None = setting("SAMPLE_SECONDS", "How long.", default=None, check=at_least(0))

    def problems(self) -> dict[str, list[str]]:
        if self.loud and self.kind == "b":
            return {"SAMPLE_LOUD": ["Not with kind b."], "SAMPLE_KIND": ["Not when loud."]}
        return {}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (ProcessSettings, Sample):
        for variable in variables(cls):
            monkeypatch.delenv(variable.name, raising=False)


def refused(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, list[str]]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(Sample)
    for name in caught.value.problems:
        assert name in str(caught.value)
    return caught.value.problems


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = refused(
        monkeypatch,
        ENVIRONMENT="staging",
        LOG_LEVEL="LOUD",
        SAMPLE_PORT="70000",
        SAMPLE_KIND="c",
        SAMPLE_LOUD="perhaps",
        SAMPLE_SECONDS="soon",
        DRAIN_SECONDS="-1",
    )
    assert set(problems) == {
        "ENVIRONMENT",
        "LOG_LEVEL",
        "SAMPLE_URL",
        "SAMPLE_PORT",
        "SAMPLE_KIND",
        "SAMPLE_LOUD",
        "SAMPLE_SECONDS",
        "DRAIN_SECONDS",
    }
    assert problems["SAMPLE_URL"] == ["Must be set."]
    assert problems["SAMPLE_PORT"] == ["Must be a port, 0 to 65535."]
    assert problems["ENVIRONMENT"] == ["Must be one of: development, production."]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLE_PORT", "-1"),
        ("SAMPLE_PORT", "80.5"),
        ("SAMPLE_PORT", "0x50"),
        ("SAMPLE_PORT", "http"),
        ("SAMPLE_SECONDS", "-0.1"),
        ("SAMPLE_SECONDS", "nan"),
        ("SAMPLE_SECONDS", "inf"),
        ("DRAIN_SECONDS", "nan"),
        ("SHUTDOWN_SECONDS", "inf"),
        ("LOG_LEVEL", "info"),
    ],
)
def test_bad_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert set(refused(monkeypatch, SAMPLE_URL="x", **{name: value})) == {name}


def test_rules_over_several_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = refused(monkeypatch, SAMPLE_URL="x", SAMPLE_KIND="b", SAMPLE_LOUD="true")
    assert set(problems) == {"SAMPLE_LOUD", "SAMPLE_KIND"}


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, SAMPLE_URL="") == {"SAMPLE_URL": ["Must be set."]}
    monkeypatch.setenv("SAMPLE_URL", "x")
    monkeypatch.setenv("SAMPLE_PORT", "")
    monkeypatch.setenv("SAMPLE_SECONDS", "")
    settings = load(Sample)
    assert settings.number == 8080
    assert settings.seconds is None


def test_values_are_read_as_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SAMPLE_URL": "postgresql://u:p@h/d",
        "SAMPLE_PORT": "0",
        "SAMPLE_LOUD": "true",
        "SAMPLE_SECONDS": "1.5",
        "ENVIRONMENT": "development",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load(Sample)
    assert (settings.number, settings.loud, settings.seconds) == (0, True, 1.5)
    assert settings.development


def test_production_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_URL", "x")
    assert not load(Sample).development


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_URL", "hunter2")
    assert "hunter2" not in repr(load(Sample))


def test_every_variable_documents_itself() -> None:
    listed = {variable.name: variable for variable in variables(Sample)}
    assert len(listed) == len(fields(Sample))
    assert (listed["SAMPLE_SECONDS"].kind, listed["SAMPLE_SECONDS"].default) == ("float", None)
    assert listed["SAMPLE_URL"].secret
    assert all(variable.help for variable in listed.values())
