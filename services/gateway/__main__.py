"""python -m services.gateway"""

from __future__ import annotations

from services.gateway.app import start
from services.gateway.settings import Settings
from shared.process import run

if __name__ == "__main__":
    run("gateway", Settings, start)
