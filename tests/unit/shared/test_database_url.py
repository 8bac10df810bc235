"""Weak passwords in database URLs."""

import pytest

from services.tasks.settings import Settings
from shared.database_url import has_weak_password


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tasks:postgres@db/tasks",
        "postgresql://tasks:PassWord@db/tasks",
        "postgresql://tasks:short7!@db/tasks",
        "postgresql://somebody:somebody@db/tasks",
        "postgresql://somebody:%70ostgres@db/tasks",
    ],
)
def test_weak(url: str) -> None:
    assert has_weak_password(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tasks:t7hKq-20xPz@db/tasks",
        "postgresql://tasks@db/tasks",
        "postgresql:///tasks?host=/run/postgresql",
        "no url at all",
    ],
)
def test_none_or_good(url: str) -> None:
    assert not has_weak_password(url)


def test_production_refuses_a_weak_one_and_development_takes_it() -> None:
    url = "postgresql://tasks:postgres@db/tasks"
    assert "TASKS_DATABASE_URL" in Settings(database_url=url, environment="production").problems()
    assert Settings(database_url=url, environment="development").problems() == {}
