"""What the variables of contract section 1 come to."""

import socket

import pytest

from deploy.local.errors import CannotRun
from deploy.local.plan import AUTH, PORTS, PROGRAMS, TASKS_WORKER, Plan

FREE = dict.fromkeys(PORTS, "0")


def test_zero_gives_each_port_a_number_of_its_own() -> None:
    plan = Plan.read(FREE, PROGRAMS)
    assert len(set(plan.ports.values())) == len(PORTS)
    assert 0 not in plan.ports.values()


def test_every_bad_port_is_named_at_once() -> None:
    bad = {"AUTH_PORT": "x", "TASKS_PORT": "-1", "GATEWAY_PORT": "65536", "AUTH_OPS_PORT": "٣"}
    with pytest.raises(CannotRun) as refused:
        Plan.read(FREE | bad, PROGRAMS)
    assert refused.value.exit_code == 78
    assert all(name in str(refused.value) for name in bad)


def test_every_taken_port_is_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        numbers = [str(one.getsockname()[1]), str(two.getsockname()[1])]
        with pytest.raises(CannotRun) as refused:
            Plan.read(FREE | {"AUTH_PORT": numbers[0], "TASKS_OPS_PORT": numbers[1]}, PROGRAMS)
    assert f"port {numbers[0]} is in use" in str(refused.value)
    assert f"port {numbers[1]} is in use" in str(refused.value)
    assert "AUTH_PORT=" in str(refused.value)
    assert "TASKS_OPS_PORT=" in str(refused.value)


def test_a_port_that_a_program_does_not_open_may_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        plan = Plan.read(FREE | {"GATEWAY_PORT": str(number)}, (AUTH,))
    assert plan.ports["GATEWAY_PORT"] == number


def test_the_environment_wires_the_services_to_each_other() -> None:
    plan = Plan.read(FREE | {"LOG_LEVEL": "DEBUG", "REDIS_URL": ""}, PROGRAMS)
    environment = plan.environment({"auth": "postgresql://embedded/auth"}, {})
    auth = f"http://127.0.0.1:{plan.ports['AUTH_PORT']}"
    assert environment["AUTH_UPSTREAM"] == auth
    assert environment["AUTH_INTERNAL_URL"] == auth
    assert environment["AUTH_JWKS_URL"] == f"{auth}/.well-known/jwks.json"
    assert environment["AUTH_DATABASE_URL"] == "postgresql://embedded/auth"
    assert environment["ENVIRONMENT"] == "development"
    assert environment["LOG_LEVEL"] == "DEBUG"
    assert "REDIS_URL" not in environment


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "made"),
        ({"SERVICE_CREDENTIAL": "own"}, "own"),
        ({"SERVICE_CREDENTIAL": ""}, "made"),
        ({"SERVICE_CREDENTIAL_FILE": "/run/key"}, None),
    ],
)
def test_a_service_key_of_ones_own_wins_over_the_one_that_was_made(
    given: dict[str, str], expected: str | None
) -> None:
    environment = Plan.read(FREE | given, PROGRAMS).environment({}, {"SERVICE_CREDENTIAL": "made"})
    assert environment.get("SERVICE_CREDENTIAL") == expected


def test_what_is_given_wins_over_what_is_derived() -> None:
    given = {"AUTH_UPSTREAM": "http://a,http://b", "ENVIRONMENT": "production"}
    environment = Plan.read(FREE | given, PROGRAMS).environment({}, {})
    assert environment["AUTH_UPSTREAM"] == "http://a,http://b"
    assert environment["ENVIRONMENT"] == "production"


@pytest.mark.parametrize(
    ("given", "embedded"),
    [
        ({}, ("auth", "tasks")),
        ({"AUTH_DATABASE_URL": ""}, ("auth", "tasks")),
        ({"AUTH_DATABASE_URL": "postgresql://x/y"}, ("tasks",)),
        ({"AUTH_DATABASE_URL": "postgresql://x/y", "TASKS_DATABASE_URL": "postgresql://z"}, ()),
    ],
)
def test_only_databases_without_an_address_are_embedded(
    given: dict[str, str], embedded: tuple[str, ...]
) -> None:
    assert Plan.read(FREE | given, PROGRAMS).embedded_databases() == embedded
    assert set(Plan.read(FREE | given, (TASKS_WORKER,)).embedded_databases()) <= {"tasks"}


def test_secrets_of_the_environment_are_not_in_the_representation() -> None:
    plan = Plan.read(FREE | {"SERVICE_SECRET": "hush"}, PROGRAMS)
    assert "hush" not in repr(plan)
