"""The settings table of the README is what the code reads."""

from __future__ import annotations

from deploy.settings_table import README, table, with_table


def test_the_readme_holds_the_table_of_the_code() -> None:
    text = README.read_text()
    assert text == with_table(text), "run `make docs`"


def test_a_variable_of_several_services_has_one_row() -> None:
    rows = table().splitlines()
    assert sum(row.startswith("| `LOG_LEVEL` | all |") for row in rows) == 1
    assert sum(row.startswith("| `AUTH_DATABASE_URL` | auth | required |") for row in rows) == 1


def test_what_stands_around_the_table_stays() -> None:
    text = README.read_text()
    stale = text.replace("| `LOG_LEVEL` | all |", "| `LOG_LEVEL` | nobody |")
    assert stale != text
    assert with_table(stale) == text
