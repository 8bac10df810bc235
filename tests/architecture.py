"""The rules of the house as functions: each takes a tree and yields what breaks the rule in it."""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

LONGEST_MODULE = 350
LONGEST_FUNCTION = 50
CODE = ("shared", "services", "deploy", "bench")
SERVICES = ("auth", "gateway", "tasks")
# From the bottom up: a layer imports itself and what stands before it, never what comes after.
LAYERS = ("domain", "repository", "usecases", "handlers", "routes", "app")
WITHOUT_TRANSPORT = ("domain", "schemas", "usecases")
NO_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}

Rule = Callable[[Path], Iterator[str]]


def imports_point_down(root: Path) -> Iterator[str]:
    """Architecture rule 1."""
    for path in _python(root, *CODE):
        place = path.relative_to(root).with_suffix("").parts
        for line, module in _imports(path, place):
            if any(_inside(module, forbidden) for forbidden in _forbidden(place)):
                yield f"{path.relative_to(root)}:{line} imports {module}"


def the_launcher_needs_no_package(root: Path) -> Iterator[str]:
    """It starts before, or beside, everything that is installed. The demo is a client, not it."""
    for path in _python(root, "deploy/local"):
        if path.stem.startswith("demo") or "demo" in path.parts:
            continue
        place = path.relative_to(root).with_suffix("").parts
        for line, module in _imports(path, place):
            top = module.split(".")[0]
            if top not in sys.stdlib_module_names and not _inside(module, "deploy.local"):
                yield f"{path.relative_to(root)}:{line} imports {module}"


def modules_are_short(root: Path) -> Iterator[str]:
    """Architecture rule 9."""
    for path in _python(root, *CODE):
        length = len(path.read_text().splitlines())
        if length > LONGEST_MODULE:
            yield f"{path.relative_to(root)} has {length} lines"


def functions_are_short(root: Path) -> Iterator[str]:
    """Architecture rule 9; a docstring does not count."""
    for path in _python(root, *CODE):
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = node.body[0]
            documented = ast.get_docstring(node, clean=False) is not None
            lines = _length(node) - (_length(first) if documented else 0)
            if lines > LONGEST_FUNCTION:
                yield f"{path.relative_to(root)}:{node.lineno} {node.name} has {lines} lines"


def names_say_something(root: Path) -> Iterator[str]:
    """Architecture rule 7."""
    for path in _python(root, *CODE, "tests"):
        parts = path.relative_to(root).with_suffix("").parts
        if NO_NAMES & set(parts):
            yield str(path.relative_to(root))


def nothing_is_left_to_do(root: Path) -> Iterator[str]:
    """Unfinished work stands in an issue, not in the code."""
    mark = re.compile(r"\b(TODO|FIXME|XXX)\b")
    for path in [*_python(root, *CODE, "tests"), *root.glob("**/Makefile")]:
        if path.name in ("architecture.py", "test_architecture.py") or ".venv" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if mark.search(line):
                yield f"{path.relative_to(root)}:{number}"


def versions_agree(root: Path) -> Iterator[str]:
    """The change log, the package and what the processes report."""
    package = str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
    code = re.findall(r'^VERSION = "(.+)"$', (root / "shared/version.py").read_text(), re.MULTILINE)
    log = re.findall(r"^## \[?v?(\d[^\s\]]*)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not code[:1] == log[:1] == [package]:
        yield f"pyproject.toml says {package}, shared/version.py {code}, CHANGELOG.md {log[:1]}"


def settings_are_documented(root: Path) -> Iterator[str]:
    """A variable that a process reads has a line in the README."""
    readme = (root / "README.md").read_text()
    for path in _python(root, "shared", "services"):
        for node in ast.walk(_tree(path)):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setting"):
                continue
            name = node.args[0] if node.args else None
            text = name.value if isinstance(name, ast.Constant) else None
            if isinstance(text, str) and f"`{text}`" not in readme:
                yield f"{path.relative_to(root)}:{node.lineno} {text} is not in README.md"


def dependencies_have_reasons(root: Path) -> Iterator[str]:
    """A package that we ask for has its line in the decision about dependencies."""
    page = (root / "docs/decisions/0002-dependencies.md").read_text().lower()
    for source in sorted((root / "deploy/requirements").glob("*.in")):
        for line in source.read_text().splitlines():
            name = re.match(r"[A-Za-z][\w.-]*", line)
            if name is not None and f"`{name.group().lower()}`" not in page:
                yield f"{source.relative_to(root)}: {name.group()} has no reason"


RULES: tuple[Rule, ...] = (
    imports_point_down,
    the_launcher_needs_no_package,
    modules_are_short,
    functions_are_short,
    names_say_something,
    nothing_is_left_to_do,
    versions_agree,
    settings_are_documented,
    dependencies_have_reasons,
)


def _forbidden(place: tuple[str, ...]) -> Iterator[str]:
    yield "tests"
    if place[0] == "shared":
        yield from ("services", "deploy", "bench")
    if place[0] != "services" or len(place) < 3:
        return
    service, layer = place[1], place[2]
    yield from ("deploy", "bench")
    yield from (f"services.{other}" for other in SERVICES if other != service)
    if layer in WITHOUT_TRANSPORT:
        yield from ("aiohttp", "asyncpg")
    if layer in LAYERS:
        yield from (f"services.{service}.{up}" for up in LAYERS[LAYERS.index(layer) + 1 :])


def _imports(path: Path, place: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from . import x` in a/b.py means the package a.
            base = [*place[: -node.level]] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            # What is imported may be a module itself: `from services import auth`.
            yield from ((node.lineno, f"{start}.{name.name}") for name in node.names)


def _inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def _python(root: Path, *folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((root / folder).rglob("*.py"))
