"""What the process does that the command line asks for."""

from __future__ import annotations

import argparse
import sys

from services.auth import audit_command, key_commands
from services.auth.app import start
from services.auth.command_line import create_admin
from services.auth.settings import AdministratorSettings, Settings
from shared.process import load_or_refuse, run


def perform(name: str, arguments: argparse.Namespace) -> None:
    """Serves, or runs the command of `arguments`; exits with 78 for bad settings."""
    match arguments.command:
        case "create-admin":
            settings = load_or_refuse(name, AdministratorSettings)
            create_admin(settings, email=arguments.email, name=arguments.name)
        case "audit":
            sys.exit(_audit(load_or_refuse(name, Settings), arguments))
        case "keys":
            _keys(load_or_refuse(name, Settings), arguments)
        case _:
            run(name, Settings, start)


def _audit(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.task == "export":
        return audit_command.export(settings)
    return audit_command.verify(settings, days=arguments.days, anchors=arguments.anchor)


def _keys(settings: Settings, arguments: argparse.Namespace) -> None:
    match arguments.action:
        case "list":
            key_commands.list_keys(settings)
        case "rotate":
            key_commands.rotate(settings)
        case "retire":
            key_commands.retire(settings, arguments.kid)
        case "re-encrypt":
            key_commands.re_encrypt(settings)
