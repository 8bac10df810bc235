"""Writing JSON about values that nobody has checked: error details and log lines."""

from __future__ import annotations

import json
from typing import Any

import orjson


def dump_anything(value: Any) -> bytes:
    """`value` as JSON in UTF-8, whatever is in it.

    What JSON has no form for is shown by its `str`; lone surrogates become question marks, and
    entries whose key is no name are left out. An error about a value must not fail on that value.
    """
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:
        text = json.dumps(value, default=str, skipkeys=True, ensure_ascii=False)
        return text.encode("utf-8", "replace")
