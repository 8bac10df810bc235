"""Which schema a service needs, told without loading the library that migrates to it."""

from __future__ import annotations

import re
from pathlib import Path


def head(location: str | Path) -> str:
    """The newest revision in `location`, read from the file names: `0003_labels.py` is 0003."""
    names = (re.match(r"(\d{4})_", path.name) for path in Path(location, "versions").glob("*.py"))
    return max(name.group(1) for name in names if name)
