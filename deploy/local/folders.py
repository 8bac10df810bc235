"""Folders that hold data or sockets: who may enter them, and how short their paths are."""

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import CannotRun

# The shortest `sun_path` of the supported systems is 104 bytes with its end mark (macOS).
_LONGEST_SOCKET_PATH = 103
_SOCKET_NAME = ".s.PGSQL.5432"


def private_folder(folder: Path) -> None:
    """Makes `folder` and its parents when missing; a folder made here is its owner's only."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def own_secrets(folder: Path) -> dict[str, str]:
    """The secrets that the processes of one run share, made once and kept in `folder`."""
    encryption = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "SERVICE_CREDENTIAL": _kept(folder / "service_credential", secrets.token_urlsafe(32)),
        "ENCRYPTION_KEYS": _kept(folder / "encryption_keys", f"k1:{encryption}"),
    }


def _kept(path: Path, made: str) -> str:
    """What is in the file, which holds `made` when there was none."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
    return path.read_text()


def socket_folder(folder: Path) -> Path:
    """A folder for the sockets of what lives in `folder`: inside it, else a short one elsewhere.

    Not made here. The same `folder` always gives the same answer, so that a second process finds
    the first one's socket.
    """
    inside = folder.absolute() / "run"
    if len(os.fsencode(inside / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"tasklane-{os.geteuid()}-{digest}"
    if len(os.fsencode(short / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        return short
    return Path("/tmp") / short.name


def hand_over(folder: Path, owner: int) -> None:
    """Makes `folder` when missing, closes it to others and gives it, whole, to user `owner`.

    Raises `CannotRun` when somebody else made it: the folder for temporary files is open to all.
    """
    private_folder(folder)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or (
        found.st_uid not in (owner, os.geteuid()) and os.geteuid() != 0
    ):
        raise CannotRun(f"{folder} belongs to somebody else; remove it or set another DATA_DIR")
    folder.chmod(0o700)
    if found.st_uid == owner:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), owner, -1, follow_symlinks=False)
    # Last, so that an interrupted walk is done again.
    os.chown(folder, owner, -1)


@contextlib.contextmanager
def hold_alone(lock: Path, holder: str) -> Iterator[None]:
    """Holds `lock` for the block. Raises `CannotRun` when another process, a `holder`, has it."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            pid = file.read(20).strip() or "unknown"
            raise CannotRun(
                f"{holder} runs on {lock.parent} already (process {pid}): stop it, or set another "
                "DATA_DIR and other ports"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
