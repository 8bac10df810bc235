"""What `python -m services.gateway` can be asked for: to serve, or one of the commands."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AbstractAsyncContextManager

from services.gateway.app import start
from services.gateway.config import Config
from services.gateway.config_file import ConfigError, read_config
from services.gateway.explain import explain, routes
from services.gateway.settings import Settings
from services.gateway.workers.supervisor import supervise
from shared.cookies import Cookies
from shared.health import Health
from shared.identity import Tier
from shared.process import load_or_refuse, refuse, run

NAME = "gateway"


def main() -> None:
    """Does what the command line says."""
    arguments = _parser().parse_args()
    match arguments.command:
        case "explain":
            settings = _settings()
            asked = explain(
                _config(settings),
                arguments.method,
                arguments.target,
                arguments.header,
                arguments.tier and Tier(arguments.tier),
                cookies=Cookies(production=not settings.development),
            )
            print(asyncio.run(asked))
        case "routes":
            print("\n".join(routes(_config(_settings()))))
        case _:
            run(NAME, Settings, serve)


def serve(settings: Settings) -> AbstractAsyncContextManager[Health]:
    """Serves in this process, or in WORKERS processes that this one looks after."""
    return start(settings) if settings.workers == 1 else supervise(settings)


def _settings() -> Settings:
    """What a gateway started here would read; exits with 78 for bad ones."""
    return load_or_refuse(NAME, Settings)


def _config(settings: Settings) -> Config:
    """The configuration that it would take; exits with 78 for a bad one."""
    try:
        return read_config(settings.config_path, settings.upstream_endpoints)
    except ConfigError as error:
        refuse(NAME, str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway", description="Tasklane gateway"
    )
    commands = parser.add_subparsers(dest="command", title="commands (none: serve)")
    explained = commands.add_parser("explain", help="tell what a request would get, and why")
    explained.add_argument("method")
    explained.add_argument("target", help="path and query, as it would be sent")
    explained.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="a header line"
    )
    explained.add_argument("--tier", choices=[str(tier) for tier in Tier], help="of the caller")
    commands.add_parser("routes", help="list every route with who may use it and its bounds")
    return parser
