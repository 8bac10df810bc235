"""Makes the secrets of the compose file: python -m deploy.make_secrets [folder]

Each secret is made once and kept: running this again adds what is missing and changes nothing.
Needs only the standard library.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PASSWORD_BYTES = 24
SERVICE_KEY_BYTES = 32
ENCRYPTION_KEY_BYTES = 32
# Nobody is called by this address; the operator puts the one that wakes people in its place.
ALERT_WEBHOOK = "http://127.0.0.1:9/alerts"


def contents() -> dict[str, str]:
    """A fresh value for each file below `secrets/`; passwords are safe inside a URL."""
    auth, tasks, redis = (secrets.token_urlsafe(PASSWORD_BYTES) for _ in range(3))
    return {
        "auth_database_password": auth,
        "auth_database_url": f"postgresql://auth:{auth}@postgres:5432/auth",
        "tasks_database_password": tasks,
        "tasks_database_url": f"postgresql://tasks:{tasks}@postgres:5432/tasks",
        "redis_conf": f"requirepass {redis}",
        "redis_url": f"redis://:{redis}@redis:6379/0",
        "auth_encryption_keys": encryption_key(),
        "tasks_encryption_keys": encryption_key(),
        "service_credential": secrets.token_urlsafe(SERVICE_KEY_BYTES),
        "grafana_password": secrets.token_urlsafe(PASSWORD_BYTES),
        "alert_webhook_url": ALERT_WEBHOOK,
    }


def encryption_key() -> str:
    """A first entry of ENCRYPTION_KEYS."""
    return f"k1:{base64.b64encode(secrets.token_bytes(ENCRYPTION_KEY_BYTES)).decode()}"


# A file and the one that repeats its password are made together or not at all.
PAIRS = {
    "auth_database_password": "auth_database_url",
    "tasks_database_password": "tasks_database_url",
    "redis_conf": "redis_url",
}


def make(folder: Path) -> list[str]:
    """Writes what is missing below `folder` and returns the names. Raises SystemExit."""
    kept = folder / "secrets"
    kept.mkdir(mode=0o700, exist_ok=True)
    # The containers run as other users than the one who owns these files, so the files are
    # readable to all, and the folder around them to nobody else.
    kept.chmod(0o700)
    for one, other in PAIRS.items():
        if (kept / one).exists() != (kept / other).exists():
            raise SystemExit(f"{kept}: {one} and {other} belong together, and one is missing")
    made = []
    for name, content in contents().items():
        if not (kept / name).exists():
            _write(kept / name, content, 0o444)
            made.append(f"secrets/{name}")
    if not (folder / ".env").exists():
        # The image of PostgreSQL takes the password of its first user from the environment.
        superuser = secrets.token_urlsafe(PASSWORD_BYTES)
        _write(folder / ".env", f"POSTGRES_PASSWORD={superuser}", 0o600)
        made.append(".env")
    return made


def _write(path: Path, content: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(content + "\n")


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    made = make(folder)
    print(f"made in {folder}: {', '.join(made)}" if made else f"{folder}: all secrets are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
