"""Starts a command that ends with its parent, and that need not see itself as root.

A child must go when its parent is killed with -9, and PostgreSQL refuses to run as root. Both are
properties that a process gives itself before `exec`. So this file is a program of its own, run as
`python -I -S confine.py SIGNAL PARENT IDENTITY COMMAND...`: the process that becomes COMMAND keeps
its id, nothing runs between a fork and an exec in a process with threads, and no helper program
(`setpriv`, `unshare`) has to be installed. It imports the standard library only, and little of it.
"""

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_NEWUSER = 0x10000000

SAME = "same"
NAMESPACE = "namespace"
EXIT_CANNOT_CONFINE = 71


def confined(command: list[str], *, death_signal: int, identity: str = SAME) -> list[str]:
    """`command`, wrapped so that it gets `death_signal` when the calling process is gone.

    `identity` is `SAME`, `NAMESPACE` (an unprivileged user of a user namespace of its own) or a
    numeric user id. The signal is a Linux feature: elsewhere a killed parent leaves the child.
    """
    wrapper = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
    return [*wrapper, str(int(death_signal)), str(os.getpid()), identity, *command]


def end_with_parent(death_signal: int) -> None:
    """Sends this process `death_signal` when its parent is gone (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)


def _enter_namespace() -> None:
    """Looks like an ordinary user from here on; outside, the files stay the caller's own."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    inner = _some_user()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not available")
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{inner} {outer_user} 1"),
        ("gid_map", f"{inner} {outer_group} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, content.encode())
        os.close(descriptor)


def _some_user() -> int:
    """The id of a user that is not root and has a name: programs look up whom they run as."""
    lines = Path("/etc/passwd").read_text(errors="replace").splitlines()
    fields = [line.split(":") for line in lines]
    return min(int(f[2]) for f in fields if len(f) > 2 and f[2].isdigit() and int(f[2]) > 0)


def _become(user_id: int) -> None:
    """Drops root for `user_id`, and keeps the one right to enter folders that root may enter.

    Without it a checkout or an environment below a closed home folder could not be read.
    """
    libc = ctypes.CDLL(None)
    on_linux = sys.platform == "linux"
    if on_linux:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(user_id)
    os.setuid(user_id)
    if on_linux:
        bit = 1 << _CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        # Effective, permitted, inheritable; the upper half of the 64 bits stays empty.
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        # A container may not have the right at all; then plain permissions decide.
        if libc.capset(header, sets) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> int:
    """Confines this process and turns it into the command; returns only when that fails."""
    death_signal, parent, identity, *command = arguments
    try:
        if identity == NAMESPACE:
            _enter_namespace()
        elif identity != SAME:
            _become(int(identity))
        # A change of identity clears the setting, so it comes last.
        end_with_parent(int(death_signal))
        if os.getppid() != int(parent):
            # The parent went before the setting took hold.
            return EXIT_CANNOT_CONFINE
        os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
    return EXIT_CANNOT_CONFINE


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
