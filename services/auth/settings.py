"""What auth reads from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.auth.domain import KeyLife, LockoutPolicy, SessionLife, SprayPolicy
from services.auth.passwords.peppers import Peppers
from shared.database_url import has_weak_password, of_postgresql
from shared.identity import CLOCK_LEEWAY_SECONDS
from shared.sealing import SealingSettings
from shared.settings import ProcessSettings, at_least, setting
from shared.settings import port as port_number

SHORTEST_SERVICE_KEY = 32
# `Cache-Control: max-age` of the key set, which others may go by.
KEY_SET_CACHE_SECONDS = 300
# Whatever is signed lives at least this long: service tokens and those that keys are exchanged for.
SHORTEST_SIGNED_SECONDS = 300


@dataclass(frozen=True)
class DatabaseSettings:
    """What the commands that only need the database read."""

    database_url: str = setting(
        "AUTH_DATABASE_URL",
        "The database of auth in PostgreSQL 14 or newer.",
        secret=True,
        check=of_postgresql,
    )


@dataclass(frozen=True)
class Settings(DatabaseSettings, SealingSettings, ProcessSettings):
    """What the service reads."""

    port: int = setting("AUTH_PORT", "Port of the API.", default=8081, check=port_number)
    ops_port: int = setting("AUTH_OPS_PORT", "Ops port of auth.", default=9081, check=port_number)
    token_issuer: str = setting("TOKEN_ISSUER", "`iss` of access tokens.", default="tasklane")
    token_audience: str = setting(
        "TOKEN_AUDIENCE", "`aud` of access tokens.", default="tasklane-api"
    )
    database_pool: int = setting(
        "AUTH_DATABASE_POOL", "Most connections to the database.", default=10, check=at_least(1)
    )
    database_room: int = setting(
        "AUTH_DATABASE_ROOM",
        "Bytes that the database may grow to, for the alert on its size; 0: no limit is known.",
        default=0,
        check=at_least(0),
    )
    access_token_seconds: int = setting(
        "ACCESS_TOKEN_SECONDS", "Life of an access token.", default=900, check=at_least(1)
    )
    signing_key_rotate_days: float = setting(
        "SIGNING_KEY_ROTATE_DAYS",
        "Days that a key signs access tokens before the next one does; 0: by command only.",
        default=30.0,
        check=at_least(0),
    )
    signing_key_publish_seconds: float = setting(
        "SIGNING_KEY_PUBLISH_SECONDS",
        "How long a new key is published before it signs, so that everybody knows it by then.",
        default=600.0,
        check=at_least(0),
    )
    session_idle_seconds: int = setting(
        "SESSION_IDLE_SECONDS",
        "A session that is not refreshed for this long ends.",
        default=7 * 86_400,
        check=at_least(1),
    )
    session_seconds: int = setting(
        "SESSION_SECONDS",
        "A session ends this long after its login, however much it is used.",
        default=30 * 86_400,
        check=at_least(1),
    )
    cookie_session_idle_seconds: int = setting(
        "COOKIE_SESSION_IDLE_SECONDS",
        "A browser's session ends when it is not used for this long.",
        default=1_800,
        check=at_least(1),
    )
    cookie_session_seconds: int = setting(
        "COOKIE_SESSION_SECONDS",
        "A browser's session ends this long after its login, however much it is used.",
        default=12 * 3_600,
        check=at_least(1),
    )
    device_cookie_seconds: int = setting(
        "DEVICE_COOKIE_SECONDS",
        "How long after a login a browser counts as known to its account.",
        default=180 * 86_400,
        check=at_least(1),
    )
    enumeration_safe: bool = setting(
        "REGISTRATION_ENUMERATION_SAFE",
        "Registration answers 202 whether or not the address is taken, and gives no tokens.",
        default=False,
    )
    lockout_failures: int = setting(
        "LOCKOUT_FAILURES",
        "Wrong logins in a row that lock an address.",
        default=5,
        check=at_least(1),
    )
    lockout_seconds: int = setting(
        "LOCKOUT_SECONDS",
        "Length of the first lock; each further one is twice as long.",
        default=900,
        check=at_least(1),
    )
    lockout_max_seconds: int = setting(
        "LOCKOUT_MAX_SECONDS", "Longest lock.", default=86_400, check=at_least(1)
    )
    spraying_seconds: int = setting(
        "SPRAYING_SECONDS",
        "How long an account that somebody failed to enter counts against him.",
        default=600,
        check=at_least(1),
    )
    spraying_accounts_per_address: int = setting(
        "SPRAYING_ACCOUNTS_PER_ADDRESS",
        "Accounts that may be failed at from one address (IPv6: /64); then logins from it are "
        "answered 429.",
        default=100,
        check=at_least(1),
    )
    spraying_accounts: int = setting(
        "SPRAYING_ACCOUNTS",
        "Accounts that may be failed at from all addresses together; then only browsers that an "
        "account knows may log in to it.",
        default=1_000,
        check=at_least(1),
    )
    password_peppers: str = setting(
        "PASSWORD_PEPPERS",
        "Optional keys mixed into every password, `id:base64,…` of at least 32 bytes each: the "
        "first for new hashes, all for old ones. A lost key loses the passwords made with it.",
        default="",
        secret=True,
    )
    hash_workers: int = setting(
        "HASH_WORKERS",
        "Threads that hash passwords, 19 MiB each; 0 means one per CPU.",
        default=0,
        check=at_least(0),
    )
    hash_queue: int = setting(
        "HASH_QUEUE",
        "Password checks that may wait for a thread, first come first served; one more is "
        "answered 503.",
        default=100,
        check=at_least(0),
    )
    hash_queue_seconds: float = setting(
        "HASH_QUEUE_SECONDS",
        "Longest wait for a thread; whose turn would come later is answered 503 at once.",
        default=3.0,
        check=at_least(0.01),
    )
    service_credentials: str = setting(
        "SERVICE_CREDENTIAL",
        "Key that services buy tokens for `/internal` of auth with, at least 32 characters. Auth "
        "takes several, separated by commas, while one replaces another. Production needs it.",
        default="",
        secret=True,
    )
    purge_seconds: float = setting(
        "PURGE_SECONDS",
        "Pause between removals of expired rows.",
        default=60.0,
        check=at_least(0.1),
    )
    audit_days: float = setting(
        "AUDIT_DAYS", "Days that audit events are kept.", default=365.0, check=at_least(1)
    )
    audit_seal_seconds: float = setting(
        "AUDIT_SEAL_SECONDS",
        "Pause between two seals of the audit log: so long may the newest events go unsigned.",
        default=60.0,
        check=at_least(1),
    )

    @property
    def service_keys(self) -> tuple[str, ...]:
        return tuple(key.strip() for key in self.service_credentials.split(",") if key.strip())

    @property
    def revocations_kept(self) -> timedelta:
        """How long a revocation matters: a token issued before it has expired after that.

        A minute is for clocks that differ.
        """
        return timedelta(seconds=self.access_token_seconds + CLOCK_LEEWAY_SECONDS + 60)

    @property
    def audit_kept(self) -> timedelta:
        return timedelta(days=self.audit_days)

    def problems(self) -> dict[str, list[str]]:
        """Rules that one variable's check cannot hold."""
        found: dict[str, list[str]] = {}
        try:
            Peppers.parse(self.password_peppers)
        except ValueError as error:
            found["PASSWORD_PEPPERS"] = [str(error)]
        if self.session_seconds < self.session_idle_seconds:
            found["SESSION_SECONDS"] = ["Must not be less than SESSION_IDLE_SECONDS."]
        if self.cookie_session_seconds < self.cookie_session_idle_seconds:
            found["COOKIE_SESSION_SECONDS"] = ["Must not be less than COOKIE_SESSION_IDLE_SECONDS."]
        if self.lockout_max_seconds < self.lockout_seconds:
            found["LOCKOUT_MAX_SECONDS"] = ["Must not be less than LOCKOUT_SECONDS."]
        if any(len(key) < SHORTEST_SERVICE_KEY for key in self.service_keys):
            found["SERVICE_CREDENTIAL"] = [f"Must have {SHORTEST_SERVICE_KEY} characters or more."]
        if not self.development and has_weak_password(self.database_url):
            found["AUTH_DATABASE_URL"] = ["The password in it is too weak for production."]
        if not self.development and not self.encryption_keys:
            found["ENCRYPTION_KEYS"] = ["Must be set in production."]
        if not self.development and self.signing_key_publish_seconds < KEY_SET_CACHE_SECONDS:
            found["SIGNING_KEY_PUBLISH_SECONDS"] = [
                f"Must be at least {KEY_SET_CACHE_SECONDS}, for which the key set may be cached."
            ]
        return found

    @property
    def key_life(self) -> KeyLife:
        """A key is kept until the last token that it signed has expired on every clock."""
        longest = max(self.access_token_seconds, SHORTEST_SIGNED_SECONDS)
        return KeyLife(
            publish=timedelta(seconds=self.signing_key_publish_seconds),
            keep=timedelta(seconds=longest + CLOCK_LEEWAY_SECONDS + 60),
            every=timedelta(days=self.signing_key_rotate_days) or None,
        )

    @property
    def session_life(self) -> SessionLife:
        return SessionLife(
            idle=timedelta(seconds=self.session_idle_seconds),
            absolute=timedelta(seconds=self.session_seconds),
        )

    @property
    def cookie_life(self) -> SessionLife:
        return SessionLife(
            idle=timedelta(seconds=self.cookie_session_idle_seconds),
            absolute=timedelta(seconds=self.cookie_session_seconds),
        )

    @property
    def spray_policy(self) -> SprayPolicy:
        return SprayPolicy(
            window=timedelta(seconds=self.spraying_seconds),
            per_address=self.spraying_accounts_per_address,
            everywhere=self.spraying_accounts,
        )

    @property
    def lockout_policy(self) -> LockoutPolicy:
        return LockoutPolicy(
            failures=self.lockout_failures,
            first=timedelta(seconds=self.lockout_seconds),
            longest=timedelta(seconds=self.lockout_max_seconds),
        )


@dataclass(frozen=True)
class AdministratorSettings(Settings):
    """What `create-admin` reads: it serves nobody, so it needs no more than it uses."""

    def problems(self) -> dict[str, list[str]]:
        """Of the service's rules the one on what goes into a password's hash."""
        return {
            name: found for name, found in super().problems().items() if name == "PASSWORD_PEPPERS"
        }
