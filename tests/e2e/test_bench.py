"""The benchmark runs and prints figures. What they are is no matter of a test."""

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import ROOT


def test_every_case_is_measured(tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "--quick", "--own-load", "--no-rivals"),
            *("--seconds", "0.3", "--rounds", "1", "--json", str(report)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())["figures"]
    crowds = [figure for figure in figures if figure["group"] == "open connections"]
    assert [figure["connections"] for figure in crowds] == [1, 10]
    cases = {(figure["group"], figure["case"]) for figure in figures if figure not in crowds}
    assert cases == {
        ("front door", "proxy"),
        ("front door", "new paths"),
        ("front door", "many users"),
        ("front door", "new paths of many"),
        ("whole path", "GET one"),
        ("whole path", "list of 20"),
        ("whole path", "create"),
        ("whole path", "login"),
        ("whole path", "GET one of 1 000"),
        ("whole path", "list of 10 owners"),
        ("whole path", "9 lists and 1 create"),
        ("whole path", "create by 10 owners"),
    }
    for figure in figures:
        assert figure["requests"] > 0
        assert figure["errors"] == 0
        assert figure["requests_per_second"] > 0
        assert all(value >= 0 for value in figure["cpu_us"].values())
        assert figure["subject"] in done.stdout
    assert "CPU µs/req" in done.stdout
    assert "p99" in done.stdout
