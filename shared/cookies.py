"""The two cookies of a browser: auth sets them, and the gateway reads or passes them on."""

from __future__ import annotations

from dataclasses import dataclass

from shared.secret_forms import SecretForm

# The secret of a cookie session. The prefix lets scanners of logs find one that has leaked.
SESSION_SECRET = SecretForm("tl_session_")


@dataclass(frozen=True, slots=True)
class Cookies:
    """The names in one environment, and the fields that set and clear them.

    A browser takes a `__Host-` cookie from its own host only, over TLS and for all paths
    (RFC 6265bis section 4.1.3.2), so no neighbouring host can plant one. Without TLS, in
    development, browsers refuse such names.
    """

    production: bool

    @property
    def session(self) -> str:
        """The name of the cookie that a session is known by."""
        return "__Host-session" if self.production else "session"

    @property
    def device(self) -> str:
        """The name of the cookie that says where its account has logged in before."""
        return "__Host-device" if self.production else "device"

    def set(self, name: str, value: str, *, seconds: int | None = None) -> str:
        """The value of Set-Cookie; without `seconds` the cookie ends with the browser."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self.production else ""
        # Lax, so that a link to the site finds its reader logged in; what changes anything
        # needs a CSRF token besides.
        return f"{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}"

    def clear_session(self) -> str:
        """The value of Set-Cookie that makes a browser forget its session."""
        return self.set(self.session, "", seconds=0)


def named_cookies() -> tuple[frozenset[bytes], frozenset[bytes]]:
    """The names of the session cookie and of the device cookie in any environment."""
    every = (Cookies(production=True), Cookies(production=False))
    sessions = frozenset(one.session.encode() for one in every)
    return sessions, frozenset(one.device.encode() for one in every)
