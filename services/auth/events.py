"""What happens in auth, as metrics and as log lines without a secret in them."""

from __future__ import annotations

from typing import Literal, get_args
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

log = structlog.get_logger(__name__)

Login = Literal["success", "wrong", "locked", "limited", "disabled"]
Scope = Literal["address", "everywhere"]
Registration = Literal["created", "taken", "refused"]
Refresh = Literal["rotated", "repeated", "reused", "invalid"]
ApiKeyEvent = Literal["made", "rotated", "revoked", "refused"]
Administration = Literal["created", "changed", "deleted"]
PasswordChange = Literal["changed", "wrong", "limited", "refused"]

_SUBJECT_SHOWN = 6  # bytes; enough to follow one attack through the log, useless as a look-up


class AuthEvents:
    """Counts and logs. Addresses appear as the head of a keyed hash, tokens and passwords never."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, values: object, label: str = "outcome") -> Counter:
            made = Counter(name, text, (label,), registry=registry)
            # From 0 on, or the first event would be no increase.
            for value in get_args(values):
                made.labels(value)
            return made

        self._logins = counter("auth_logins_total", "Logins by outcome", Login)
        self._registrations = counter(
            "auth_registrations_total", "Registrations by outcome", Registration
        )
        self._refreshes = counter("auth_refreshes_total", "Refreshes by outcome", Refresh)
        self._password_changes = counter(
            "auth_password_changes_total", "Password changes", PasswordChange
        )
        self._api_keys = counter("auth_api_keys_total", "What became of API keys", ApiKeyEvent)
        self._administration = counter(
            "auth_administration_total", "Accounts administered", Administration
        )
        self._logouts = Counter("auth_logouts_total", "Logouts", registry=registry)
        self._lockouts = Counter("auth_lockouts_total", "Addresses locked", registry=registry)
        self._limited = counter(
            "auth_spraying_refused_total",
            "Logins refused because too many accounts were failed at, by where",
            Scope,
            label="scope",
        )

    def login(self, outcome: Login, subject: bytes, *, user_id: UUID | None = None) -> None:
        self._logins.labels(outcome).inc()
        log.info("login", outcome=outcome, subject=_short(subject), user_id=user_id)

    def locked(self, subject: bytes, *, seconds: int) -> None:
        self._lockouts.inc()
        log.warning("login_locked", subject=_short(subject), seconds=seconds)

    def limited(self, scope: Scope) -> None:
        self._limited.labels(scope).inc()

    def registration(self, outcome: Registration, *, user_id: UUID | None = None) -> None:
        self._registrations.labels(outcome).inc()
        log.info("registration", outcome=outcome, user_id=user_id)

    def refresh(
        self, outcome: Refresh, *, user_id: UUID | None = None, session_id: UUID | None = None
    ) -> None:
        self._refreshes.labels(outcome).inc()
        write = log.warning if outcome == "reused" else log.info
        write("refresh", outcome=outcome, user_id=user_id, session_id=session_id)

    def password_change(self, outcome: PasswordChange, *, user_id: UUID) -> None:
        self._password_changes.labels(outcome).inc()
        log.info("password_change", outcome=outcome, user_id=user_id)

    def api_key(
        self, outcome: ApiKeyEvent, *, user_id: UUID | None = None, key_id: UUID | None = None
    ) -> None:
        self._api_keys.labels(outcome).inc()
        log.info("api_key", outcome=outcome, user_id=user_id, key_id=key_id)

    def administration(self, outcome: Administration, *, user_id: UUID) -> None:
        self._administration.labels(outcome).inc()
        log.info("administration", outcome=outcome, user_id=user_id)

    def logout(self, *, user_id: UUID, everywhere: bool) -> None:
        self._logouts.inc()
        log.info("logout", user_id=user_id, everywhere=everywhere)


def _short(subject: bytes) -> str:
    return subject[:_SUBJECT_SHOWN].hex()
