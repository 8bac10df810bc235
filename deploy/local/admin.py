"""`python -m deploy.local.admin EMAIL` makes an administrator of the run of this machine.

It runs auth's own command on the database that the run uses, and ends with that command's code.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping

from deploy.local.plan import data_folder
from deploy.local.postgres import Place


def command_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with the address of the embedded database, unless it names a database."""
    named = environment.get("AUTH_DATABASE_URL") or environment.get("AUTH_DATABASE_URL_FILE")
    if named:
        return dict(environment)
    return {**environment, "AUTH_DATABASE_URL": Place(data_folder(environment)).url("auth")}


def main(arguments: list[str] | None = None) -> int:
    """Returns the code of `create-admin`; the password is piped in, or made and shown once."""
    parser = argparse.ArgumentParser(prog="make admin", usage="make admin EMAIL=you@example.com")
    parser.add_argument("email", help="address of the account")
    options = parser.parse_args(arguments)
    return subprocess.run(
        [sys.executable, "-m", "services.auth", "create-admin", "--email", options.email],
        env=command_environment(os.environ),
        check=False,
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
