"""The rules of the house hold, and the functions that check them see what breaks them."""

from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import RULES, Rule

ROOT = Path(__file__).resolve().parents[1]
LONG_FUNCTION = "def f() -> None:\n" + "    g()\n" * 50
DOCUMENTED = 'def f() -> None:\n    """Says\n' + "    much.\n" * 60 + '    """\n    g()\n'

# Rule, file, content that breaks it, content that does not.
PLANTED: list[tuple[Rule, str, str, str]] = [
    (
        architecture.imports_point_down,
        "shared/a.py",
        "from services import auth",
        "from shared import errors",
    ),
    (
        architecture.imports_point_down,
        "services/auth/a.py",
        "import services.tasks.domain",
        "import services.auth.domain",
    ),
    (
        architecture.imports_point_down,
        "services/auth/usecases/a.py",
        "from aiohttp import web",
        "from services.auth.repository import users",
    ),
    (
        architecture.imports_point_down,
        "services/auth/domain.py",
        "import asyncpg.exceptions",
        "import asyncio",
    ),
    (
        architecture.imports_point_down,
        "services/auth/repository/a.py",
        "from services.auth import usecases",
        "from services.auth import domain",
    ),
    (
        architecture.imports_point_down,
        "services/auth/usecases/b.py",
        "from ..handlers import login",
        "from ..domain import User",
    ),
    (
        architecture.imports_point_down,
        "services/auth/routes.py",
        "from tests import postgres",
        "from services.auth import handlers",
    ),
    (
        architecture.the_launcher_needs_no_package,
        "deploy/local/a.py",
        "def f():\n    import aiohttp",
        "import asyncio\nfrom deploy.local import plan",
    ),
    (architecture.modules_are_short, "bench/a.py", "x = 1\n" * 351, "x = 1\n" * 350),
    (architecture.functions_are_short, "shared/a.py", LONG_FUNCTION, DOCUMENTED),
    (architecture.names_say_something, "services/auth/utils.py", "", ""),
    (architecture.nothing_is_left_to_do, "tests/a.py", "# TODO: more", "# done"),
    (
        architecture.settings_are_documented,
        "services/auth/settings.py",
        'a: int = setting("UNHEARD_OF", "help")',
        'a: int = setting("KNOWN", "help")',
    ),
    (architecture.versions_agree, "shared/version.py", 'VERSION = "9"', 'VERSION = "1.2.0"'),
    (architecture.dependencies_have_reasons, "deploy/requirements/a.in", "left-pad>=1", "aiohttp"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    assert list(rule(ROOT)) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small tree that keeps every rule."""
    for name, content in {
        "pyproject.toml": '[project]\nversion = "1.2.0"\n',
        "shared/version.py": 'VERSION = "1.2.0"\n',
        "CHANGELOG.md": "# Changes\n\n## 1.2.0\n\n## 1.1.0\n",
        "README.md": "| `KNOWN` | help |\n",
        "docs/decisions/0002-dependencies.md": "- `aiohttp`: serves\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.mark.parametrize(("rule", "name", "bad", "good"), PLANTED)
def test_a_planted_violation_is_found(
    house: Path, rule: Rule, name: str, bad: str, good: str
) -> None:
    assert list(rule(house)) == []
    path = house / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bad)
    assert len(list(rule(house))) == 1
    path.unlink()
    good_path = path.with_stem("names") if bad == good else path
    good_path.write_text(good)
    assert list(rule(house)) == []


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, *_ in PLANTED} == set(RULES)
