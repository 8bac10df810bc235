"""What the process does that the command line asks for."""

from __future__ import annotations

import argparse
import json

from services.tasks.app import TITLE, start
from services.tasks.command_line import re_encrypt
from services.tasks.routes import ENDPOINTS
from services.tasks.settings import SecretsSettings, Settings
from services.tasks.worker import start_worker
from shared.openapi import document
from shared.process import load_or_refuse, run


def perform(name: str, arguments: argparse.Namespace) -> None:
    """Serves, or runs the command of `arguments`; exits with 78 for bad settings."""
    match arguments.command:
        case "secrets":
            re_encrypt(load_or_refuse(name, SecretsSettings))
        case "worker":
            run(f"{name}-worker", Settings, start_worker)
        case "openapi":
            print(json.dumps(document(TITLE, arguments.version, ENDPOINTS), indent=2))
        case _:
            run(name, Settings, start)
