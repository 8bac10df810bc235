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


# How many requirements each section of ASVS 5.0 has.
SECTIONS = {
    "6.1": 3, "6.2": 12, "6.3": 8, "6.4": 6, "6.5": 8, "6.6": 4, "6.7": 2, "6.8": 4,
    "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2,
    "8.1": 4, "8.2": 4, "8.3": 3, "8.4": 2, "9.1": 3, "9.2": 4,
    "10.1": 2, "10.2": 3, "10.3": 5, "10.4": 16, "10.5": 5, "10.6": 2, "10.7": 3,
}  # fmt: skip
CHAPTERS = {"6": 47, "7": 19, "8": 13, "9": 7, "10": 36}


def test_every_requirement_of_the_chapters_on_identity_stands_in_one_row() -> None:
    for chapter, count in CHAPTERS.items():
        sections = {name: n for name, n in SECTIONS.items() if name.split(".")[0] == chapter}
        assert sum(sections.values()) == count
    _, _, page = PAGE.partition("\n### OWASP ASVS")
    rows = [row.split("|")[1] for row in page.splitlines() if re.match(r"\| \d", row)]
    found: list[str] = []
    for row in rows:
        for first, last in re.findall(r"(\d+\.\d+\.\d+)(?: to (\d+\.\d+\.\d+))?", row):
            section, _, number = first.rpartition(".")
            until = int((last or first).rpartition(".")[2])
            found += [f"{section}.{n}" for n in range(int(number), until + 1)]
    wanted = {f"{name}.{n}" for name, count in SECTIONS.items() for n in range(1, count + 1)}
    named = [one for one in found if one.split(".")[0] in CHAPTERS]
    assert sorted(named) == sorted(wanted)
