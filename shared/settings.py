"""Settings: the environment read once into a frozen dataclass, every problem reported together."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from environs import Env, EnvValidationError
from marshmallow import ValidationError

S = TypeVar("S")
REQUIRED = dataclasses.MISSING
Validator = Callable[[Any], None]
FILE_SUFFIX = "_FILE"
MOST_SECRET_BYTES = 65_536


class SettingsError(Exception):
    """Some variables are missing or bad; `problems` names each with its reason."""

    def __init__(self, problems: dict[str, list[str]]) -> None:
        self.problems = problems
        super().__init__(
            "\n".join(f"{name}: {' '.join(reasons)}" for name, reasons in sorted(problems.items()))
        )


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable as documentation shows it."""

    name: str
    kind: str
    default: Any
    help: str
    secret: bool


def setting(
    name: str,
    help: str,  # noqa: A002 - the word that every command line uses
    *,
    default: Any = REQUIRED,
    secret: bool = False,
    check: Validator | None = None,
) -> Any:
    """A dataclass field read from the variable `name`.

    `default` is used when it is unset or empty; `check` raises marshmallow's ValidationError.
    A `secret` is text, and may also stand in the file that `<name>_FILE` names.
    """
    return dataclasses.field(
        default=default,
        metadata={"name": name, "help": help, "secret": secret, "check": check},
        repr=not secret,
        kw_only=True,
    )


def variables(cls: type[Any]) -> Iterator[Variable]:
    """The variables that the settings class `cls` reads, in the order of its fields."""
    kinds = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if "name" in field.metadata:
            yield Variable(
                name=field.metadata["name"],
                kind=_plain(kinds[field.name]).__name__,
                default=field.default,
                help=field.metadata["help"],
                secret=field.metadata["secret"],
            )


def load(cls: type[S]) -> S:
    """Reads `cls` from the environment. Raises SettingsError with every problem found.

    A class may have a method `problems() -> dict[str, list[str]]` for rules over several fields.
    """
    env = Env(eager=False)
    kinds = get_type_hints(cls)
    values: dict[str, Any] = {}
    wrong: dict[str, list[str]] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if "name" not in field.metadata:
            continue
        name = field.metadata["name"]
        if field.metadata["secret"] and os.environ.get(name + FILE_SUFFIX):
            try:
                values[field.name] = _secret(name, field.metadata["check"])
            except ValidationError as error:
                wrong[name + FILE_SUFFIX] = [str(message) for message in error.messages]
            continue
        if not os.environ.get(name):
            # An empty variable is an unset one: compose files and CI pass such.
            if field.default is REQUIRED:
                wrong[name] = ["Must be set."]
            values[field.name] = field.default
            continue
        read = getattr(env, _plain(kinds[field.name]).__name__)
        options: dict[str, Any] = {}
        if field.metadata["check"] is not None:
            options["validate"] = field.metadata["check"]
        values[field.name] = read(name, **options)
    try:
        env.seal()
    except EnvValidationError as error:
        found = cast("Mapping[str, list[str]]", error.error_messages)
        wrong.update({name: list(reasons) for name, reasons in found.items()})
    if wrong:
        raise SettingsError(wrong)
    settings = cls(**values)
    problems: dict[str, list[str]] = getattr(settings, "problems", dict)()
    if problems:
        raise SettingsError(problems)
    return settings


def _secret(name: str, check: Validator | None) -> str:
    """The text in the file of a secret, without the line's end. Raises ValidationError."""
    if os.environ.get(name):
        raise ValidationError(f"Must not be set beside {name}.")
    try:
        with Path(os.environ[name + FILE_SUFFIX]).open("rb") as file:
            content = file.read(MOST_SECRET_BYTES + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise ValidationError(f"The file cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValidationError("The file is not UTF-8.") from None
    if not text or len(content) > MOST_SECRET_BYTES:
        raise ValidationError(f"The file must hold 1 to {MOST_SECRET_BYTES} bytes.")
    if check is not None:
        check(text)
    return text


def _plain(kind: Any) -> type:
    """The type without its `| None`."""
    options = [option for option in getattr(kind, "__args__", ()) if option is not type(None)]
    found: type = options[0] if options and not isinstance(kind, type) else kind
    return found


def port(value: int) -> None:
    """A TCP port; 0 lets the system choose one."""
    if not 0 <= value <= 65_535:
        raise ValidationError("Must be a port, 0 to 65535.")


def one_of(*choices: str) -> Validator:
    """A value out of a fixed list."""

    def check(value: str) -> None:
        if value not in choices:
            raise ValidationError(f"Must be one of: {', '.join(choices)}.")

    return check


def at_least(minimum: float) -> Validator:
    """A number with a lower bound."""

    def check(value: float) -> None:
        if value < minimum:
            raise ValidationError(f"Must be at least {minimum}.")

    return check


@dataclass(frozen=True)
class ProcessSettings:
    """What every process reads."""

    environment: str = setting(
        "ENVIRONMENT",
        "`development` adds tracebacks to 500 answers; `production` refuses weak secrets.",
        default="production",
        check=one_of("development", "production"),
    )
    log_level: str = setting(
        "LOG_LEVEL",
        "Least level of log lines.",
        default="INFO",
        check=one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    bind_host: str = setting(
        "BIND_HOST", "Address that the ports are bound to.", default="127.0.0.1"
    )
    drain_seconds: float = setting(
        "DRAIN_SECONDS",
        "After SIGTERM: how long to go on serving while not ready, so that load balancers notice.",
        default=0.0,
        check=at_least(0),
    )
    shutdown_seconds: float = setting(
        "SHUTDOWN_SECONDS",
        "After draining: how long requests under way may take to end.",
        default=10.0,
        check=at_least(0),
    )

    @property
    def development(self) -> bool:
        return self.environment == "development"
