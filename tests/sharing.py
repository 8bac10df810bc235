"""Which tests run in one process, and which start first.

The tests of a file stay together, so that what a module or a process makes once is made once. Files
that use one running system stay together too: it takes as long to start as they take to run.
"""

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# By the fixture that they have in common, one of their conftest.py.
_TOGETHER = {
    "system": (
        "tests/e2e/test_schemathesis.py",
        "tests/e2e/test_bad_input.py",
        "tests/e2e/test_browser.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_examples.py",
        "tests/e2e/test_main_job.py",
        "tests/e2e/test_rate_limit.py",
        "tests/e2e/test_readme.py",
        "tests/e2e/test_request_id.py",
    ),
    "watched": (
        "tests/deploy/test_cluster_fit.py",
        "tests/deploy/test_prometheus.py",
        "tests/deploy/test_watching.py",
    ),
}
_GROUPS = {file: group for group, files in _TOGETHER.items() for file in files}
# What takes longest begins first, or all would wait for it in the end.
_ORDER = ("tests/e2e", "tests/deploy", "tests/integration", "tests/service", "tests/unit")


class InFiles(LoadScopeScheduling):  # type: ignore[misc] # xdist carries no types
    """Hands whole files, or groups of files, to whichever process has nothing left."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        # Its own order is by number of tests, which says little about how long they take.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def arrange(items: list[pytest.Item]) -> None:
    """Puts what takes longest first.

    Raises `pytest.UsageError` for a test that would start once more what others share.
    """
    for item in items:
        for fixture in _TOGETHER.keys() & getattr(item, "fixturenames", ()):
            if group_of(item.nodeid) != fixture:
                text = f"{item.nodeid} uses `{fixture}`: tests/sharing.py names all files that do"
                raise pytest.UsageError(text)
    items.sort(key=lambda item: _place_of(item.nodeid))


def group_of(nodeid: str) -> str:
    """What a test runs together with."""
    file = nodeid.partition("::")[0]
    return _GROUPS.get(file, file)


def _place_of(nodeid: str) -> int:
    file = PurePosixPath(nodeid.partition("::")[0])
    return next((n for n, folder in enumerate(_ORDER) if file.is_relative_to(folder)), len(_ORDER))
