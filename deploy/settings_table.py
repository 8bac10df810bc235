"""Writes the settings table of the README from the classes that read the settings.

python -m deploy.settings_table            rewrites README.md
python -m deploy.settings_table --check    fails when README.md is not current
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from services.auth.settings import Settings as AuthSettings
from services.gateway.settings import Settings as GatewaySettings
from services.tasks.settings import Settings as TasksSettings
from shared.settings import Variable, variables

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- settings: written by `make docs` from the code -->"
END = "<!-- /settings -->"
READERS = {"gateway": GatewaySettings, "auth": AuthSettings, "tasks": TasksSettings}


def table() -> str:
    """A Markdown table with one row per variable, in the order of the services."""
    found: dict[str, tuple[Variable, list[str]]] = {}
    for reader, settings in READERS.items():
        for variable in variables(settings):
            found.setdefault(variable.name, (variable, []))[1].append(reader)
    rows = ["| variable | read by | default | meaning |", "|---|---|---|---|"]
    for variable, readers in found.values():
        by = "all" if len(readers) == len(READERS) else ", ".join(readers)
        rows.append(f"| `{variable.name}` | {by} | {_default(variable)} | {variable.help} |")
    return "\n".join(rows)


def _default(variable: Variable) -> str:
    if variable.default is dataclasses.MISSING:
        return "required"
    if variable.default is None or variable.default == "":
        return "unset"
    text = str(variable.default)
    return f"`{text.lower() if variable.kind == 'bool' else text}`"


def with_table(text: str) -> str:
    """`text` with what stands between the two marks replaced by the table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    text = README.read_text()
    current = with_table(text)
    if "--check" in sys.argv[1:]:
        if text != current:
            print("README.md: the settings table is not current; run `make docs`")
        return int(text != current)
    README.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
