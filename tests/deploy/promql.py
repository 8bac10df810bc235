"""The metric names in an expression of PromQL, without a parser: names are what is left over."""

from __future__ import annotations

import re

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'")
_SELECTORS = re.compile(r"\{[^{}]*\}")
_RANGES = re.compile(r"\[[^\[\]]*\]")
_LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAMES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b")
_FUNCTIONS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?=\s*\()")
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset", "Inf", "NaN"}
_JOB = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{[^{}]*\bjob="([^"]*)"')


def metric_names(expression: str) -> set[str]:
    """Every metric that `expression` reads."""
    left = expression
    for pattern in (_STRINGS, _SELECTORS, _RANGES, _LABEL_LISTS, _FUNCTIONS):
        left = pattern.sub(" ", left)
    return {name for name in _NAMES.findall(left) if name not in _WORDS}


def jobs_of(expression: str) -> set[tuple[str, str]]:
    """(metric, job) for each selector that names one job."""
    return set(_JOB.findall(expression))
