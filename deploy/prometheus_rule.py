"""Writes the PrometheusRule of Kubernetes from the rule files of Prometheus.

python -m deploy.prometheus_rule            rewrites the manifest
python -m deploy.prometheus_rule --check    fails when it is not current
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RULES = FOLDER / "prometheus" / "rules"
MANIFEST = FOLDER / "k8s" / "components" / "monitoring" / "rules.yaml"
HEAD = """\
# Written by `make manifests` from deploy/prometheus/rules/*.yml: change those.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tasklane
spec:
  groups:
"""
_START = "groups:\n"


def manifest() -> str:
    """The groups of all rule files, as they stand, below one head."""
    return HEAD + "".join(_groups(path) for path in sorted(RULES.glob("*.yml")))


def _groups(path: Path) -> str:
    """What follows `groups:`, two columns further in; PyYAML would lose the line breaks."""
    _, found, groups = path.read_text().partition(_START)
    if not found:
        raise SystemExit(f"{path}: has no groups")
    lines = (f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))
    return "".join(lines)


def main() -> int:
    current = MANIFEST.exists() and MANIFEST.read_text() == manifest()
    if "--check" in sys.argv[1:]:
        if not current:
            print(f"{MANIFEST}: is not current; run `make manifests`")
        return int(not current)
    MANIFEST.write_text(manifest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
