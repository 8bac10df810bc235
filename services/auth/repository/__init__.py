"""All SQL of auth. `AuthRepository` is what a unit of work works with."""

from __future__ import annotations

from services.auth.repository.api_keys import ApiKeys
from services.auth.repository.audit import Audit
from services.auth.repository.cookie_sessions import CookieSessions
from services.auth.repository.database_clock import DatabaseClock
from services.auth.repository.deletions import Deletions
from services.auth.repository.directory import Directory
from services.auth.repository.failed_entries import FailedEntries
from services.auth.repository.guesses import Guesses
from services.auth.repository.keys import Keys
from services.auth.repository.revocations import Revocations
from services.auth.repository.sessions import Sessions
from services.auth.repository.users import Users
from shared.database import Connection, Store

__all__ = ["AuthRepository", "AuthStore"]


class AuthRepository:
    """The tables of auth, bound to one connection."""

    __slots__ = (
        "api_keys", "audit", "clock", "cookie_sessions", "deletions", "directory", "failed_entries",
        "guesses", "keys", "revocations", "sessions", "users",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self.users = Users(connection)
        self.directory = Directory(connection)
        self.api_keys = ApiKeys(connection)
        self.sessions = Sessions(connection)
        self.cookie_sessions = CookieSessions(connection)
        self.guesses = Guesses(connection)
        self.failed_entries = FailedEntries(connection)
        self.keys = Keys(connection)
        self.revocations = Revocations(connection)
        self.audit = Audit(connection)
        self.clock = DatabaseClock(connection)
        self.deletions = Deletions(connection)


AuthStore = Store[AuthRepository]
