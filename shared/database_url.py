"""What a database URL gives away about the care taken of it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from marshmallow import ValidationError

SHORTEST_DATABASE_PASSWORD = 8
_WEAK_PASSWORDS = frozenset(
    {"postgres", "password", "passw0rd", "tasklane", "changeme", "12345678", "superuser"}
)


def of_postgresql(url: str) -> None:
    """The check of a setting: the URL has a scheme of PostgreSQL."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValidationError("Must begin with postgresql://.")


def has_weak_password(url: str) -> bool:
    """Whether a database URL carries a password that anybody would try.

    One without a password is no matter of ours: the server then asks for something else.
    """
    try:
        parts = urlsplit(url)
        password, user = unquote(parts.password or ""), unquote(parts.username or "")
    except ValueError:
        return False
    if not password:
        return False
    weak = password.lower() in _WEAK_PASSWORDS or password == user
    return weak or len(password) < SHORTEST_DATABASE_PASSWORD
