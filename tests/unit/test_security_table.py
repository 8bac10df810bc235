"""The tables of threats and requirements name tests that exist, and leave no threat out."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
THREATS = 67


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert len(named) > 100
    assert named - written == set()


def test_every_threat_stands_in_one_row() -> None:
    _, _, page = PAGE.partition("\n| threat |")
    page, _, _ = page.partition("\n### ")
    rows = [row.split("|")[1].partition(":")[0] for row in page.splitlines() if row[:1] == "|"]
    numbers = [int(number) for row in rows for number in re.findall(r"\d+", row)]
    assert sorted(numbers) == list(range(1, THREATS + 1))


def test_every_row_of_a_threat_that_is_built_against_names_a_test() -> None:
    rows = re.findall(r"^\| \d[\d, ]*:.*$", PAGE, re.MULTILINE)
    assert len(rows) > 30
    assert [row for row in rows if "`test_" not in row] == []
