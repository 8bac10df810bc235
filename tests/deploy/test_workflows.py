"""The project's CI: pinned, and with the least it needs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import DEPLOY

WORKFLOWS = sorted((DEPLOY.parent / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
TARGET = re.compile(r"\bmake ([a-z-]+)")


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return found


def test_actions_are_pinned_and_keep_no_credentials(workflow: dict[str, Any]) -> None:
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "uses" not in step:
                continue
            assert PINNED.match(step["uses"]), step["uses"]
            if step["uses"].startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_jobs_may_only_read_and_end_in_time(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] in ({}, {"contents": "read"})
        assert job["timeout-minutes"] <= 30


def test_one_job_waits_for_all_the_others(workflow: dict[str, Any]) -> None:
    assert set(workflow["jobs"]["all"]["needs"]) == set(workflow["jobs"]) - {"all"}


def test_the_targets_exist(workflow: dict[str, Any]) -> None:
    makefile = (DEPLOY.parent / "Makefile").read_text()
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            for target in TARGET.findall(step.get("run", "")):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_python_of_the_promise_is_tested(workflow: dict[str, Any]) -> None:
    versions = workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
