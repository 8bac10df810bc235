"""The configuration file: what is taken, and everything wrong with it named at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.gateway.config import Access, Status
from services.gateway.config_file import SHIPPED, ConfigError, make_config, read_config
from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Timeouts
from services.gateway.limits.policies import FailureMode, Key
from services.gateway.upstream.checks import CheckSettings
from shared.identity import Tier


def shipped() -> dict[str, Any]:
    return tomllib.loads(SHIPPED.read_text())


def problems_of(text: str, tmp_path: Path) -> dict[str, list[str]]:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(path, {})
    return caught.value.problems


def read(text: str, tmp_path: Path, **endpoints: tuple[str, ...]) -> Any:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return read_config(path, endpoints)


def test_the_shipped_file_holds_the_contract() -> None:
    config = read_config(SHIPPED, {})
    assert config.default_version == "v1"
    assert {name: version.status for name, version in config.versions.items()} == {
        "v1": Status.STABLE,
        "v2": Status.STABLE,
    }
    rates = {
        tier: [(policy.count, policy.period) for policy in policies]
        for tier, policies in config.limits.tiers.items()
    }
    assert rates == {
        Tier.ANONYMOUS: [(60, 60)],
        Tier.DEFAULT: [(100, 60)],
        Tier.PREMIUM: [(1000, 60)],
        Tier.ADMIN: [(10000, 60)],
    }
    login = config.limits.routes[0]
    assert (login.method, login.path, login.policies[0].key) == ("POST", "/auth/login", Key.ADDRESS)
    access = {route.prefix: route.access for route in config.routes}
    assert access["/auth"] is Access.OPTIONAL
    assert access["/tasks"] is access["/users"] is access["/webhooks"] is Access.REQUIRED
    assert access["/.well-known/jwks.json"] is Access.NONE
    # With an access token that has expired one gets a new one there.
    assert access["/auth/register"] is access["/auth/refresh"] is Access.NONE
    bodies = {route.prefix: route.max_body for route in config.routes}
    assert (bodies["/tasks"], bodies["/tasks/import"]) == (1_048_576, 67_108_864)


def test_the_shipped_server_table_says_what_the_code_does_without_it() -> None:
    assert read_config(SHIPPED, {}).server == ServerLimits()


def test_a_table_left_out_keeps_the_shipped_value_and_one_given_replaces_it(
    tmp_path: Path,
) -> None:
    config = read('[limits.tiers]\nanonymous = ["5/second", "20/minute"]\n', tmp_path)
    assert [policy.name for policy in config.limits.tiers[Tier.ANONYMOUS]] == [
        "anonymous-second",
        "anonymous-minute",
    ]
    assert Tier.DEFAULT not in config.limits.tiers
    assert config.limits.routes == ()
    assert len(config.routes) == len(shipped()["routes"])


def test_an_operators_own_service(tmp_path: Path) -> None:
    config = read(
        """
        [upstreams.echo]
        endpoints = ["http://10.1.2.3:80", "http://[::1]:8080"]
        timeouts = { first_byte = 3 }
        breaker = { after = 2, pause = 0.5 }
        check = { path = "/up", interval = 5 }
        [[routes]]
        prefix = "/echo"
        upstream = "echo"
        auth = "none"
        max_body = 7
        retries = 0
        timeouts = { total = 9 }
        """,
        tmp_path,
    )
    (route,) = config.routes
    assert route.timeouts == Timeouts(connect=1, first_byte=3, idle=30, total=9)
    assert (route.max_body, route.retries, route.access) == (7, 0, Access.NONE)
    assert route.templates == {"v1": "/api/v1/echo", "v2": "/api/v2/echo"}
    transport = config.upstreams["echo"].transport
    assert transport.breaker_threshold == 2
    assert transport.check == CheckSettings("/up", interval=5, timeout=1, fail_after=2)


def test_the_environment_replaces_endpoints(tmp_path: Path) -> None:
    config = read("", tmp_path, auth=("http://a:1",), tasks=("http://b:1", "http://b:2"))
    assert config.upstreams["auth"].endpoints == ("http://a:1",)
    assert config.upstreams["tasks"].endpoints == ("http://b:1", "http://b:2")
    own = '[upstreams.x]\nendpoints = ["http://x:1"]\n'
    config = read(own, tmp_path, auth=("http://a:1",), tasks=("http://b:1",))
    assert set(config.upstreams) == {"x", "auth", "tasks"}


def test_bad_endpoints_of_the_environment_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read("", tmp_path, tasks=("ftp://x", "http://x:1/path", "http://x:99999", "x"))
    assert set(caught.value.problems) == {f"upstreams.tasks.endpoints[{at}]" for at in range(4)}


def test_policies_of_routes(tmp_path: Path) -> None:
    config = read(
        """
        [limits]
        on_redis_failure = "open"
        [[limits.routes]]
        match = "* /files/*"
        name = "files"
        policies = ["10/minute", "100/day"]
        cost = 5
        shadow = true
        on_redis_failure = "closed"
        [[limits.routes]]
        match = "POST /auth/login"
        key = "address"
        policies = ["10/minute"]
        """,
        tmp_path,
    )
    files, login = config.limits.routes
    assert (files.method, files.path, files.cost) == ("*", "/files/*", 5)
    assert [policy.name for policy in files.policies] == ["files-minute", "files-day"]
    assert all(policy.shadow for policy in files.policies)
    assert files.policies[0].on_failure is FailureMode.CLOSED
    assert login.policies[0].on_failure is FailureMode.OPEN
    assert login.policies[0].name == "post-auth-login"


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        """
        default_version = "v1"
        surprise = 1
        [versions.v1]
        status = "stabel"
        [versions.1]
        status = "stable"
        [limits]
        on_redis_failure = "maybe"
        [limits.tiers]
        vip = ["1/minute"]
        default = ["1/week"]
        [server]
        idle_timeout = "75"
        max_body = true
        header_timeout = inf
        [upstreams.x]
        endpoints = []
        [[routes]]
        prefix = "tasks/"
        upstream = "x"
        auth = "maybe"
        [cors]
        allow_origins = ["app.example"]
        """,
        tmp_path,
    )
    assert set(problems) == {
        "surprise", "versions.v1.status", "versions.1", "limits.on_redis_failure",
        "limits.tiers.vip", "limits.tiers.default[0]", "server.idle_timeout", "server.max_body",
        "server.header_timeout", "upstreams.x.endpoints", "routes[0].prefix", "routes[0].auth",
        "cors.allow_origins[0]",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('default_version = "v3"', "default_version"),
        ('default_version = "v1"\n[versions.v1]\nstatus = "retired"', "default_version"),
        ('[versions.v1]\nstatus = "deprecated"', "versions.v1.deprecated_at"),
        ('[versions.v1]\nstatus = "sunset"\ndeprecated_at = 2026-01-01', "versions.v1.sunset_at"),
        (
            '[versions.v1]\nstatus = "stable"\ndeprecated_at = 2026-06-01\nsunset_at = 2026-05-31',
            "versions.v1.sunset_at",
        ),
        (
            '[versions.v1]\nstatus = "stable"\nsince = 2026-06-01\ndeprecated_at = "2026-05-01"',
            "versions.v1.deprecated_at",
        ),
        (
            '[versions.v1]\nstatus = "stable"\nsunset_at = 2026-06-01T00:00:00',
            "versions.v1.sunset_at",
        ),
        ('[versions.v1]\nstatus = "stable"\nsunset_at = "soon"', "versions.v1.sunset_at"),
        ('[versions.v1]\nstatus = "stable"\nsuccessor = "v9"', "versions.v1.successor"),
        ('[versions.v1]\nstatus = "stable"\nsuccessor = "v1"', "versions.v1.successor"),
        (
            (
                '[versions.v1]\nstatus = "stable"\nsuccessor = "v2"\n'
                '[versions.v2]\nstatus = "stable"\nsuccessor = "v1"'
            ),
            "versions.v2.successor",
        ),
        (
            (
                '[versions.v1]\nstatus = "stable"\n'
                "brownouts = [{ from = 2026-01-01, until = 2026-01-02 }]"
            ),
            "versions.v1.brownouts",
        ),
        (
            (
                '[versions.v1]\nstatus = "sunset"\ndeprecated_at = 2026-01-01\n'
                "sunset_at = 2026-06-01\nbrownouts = [{ from = 2026-07-01, until = 2026-07-02 }]"
            ),
            "versions.v1.brownouts[0]",
        ),
        (('[[routes]]\nprefix = "/x"\nupstream = "auth"\nauth = "none"\n'
         "cache = true\ncompress = true"), "routes[0].cache"),
        (('[[routes]]\nprefix = "/x"\nupstream = "auth"\nauth = "none"\n'
         "stale_if_error = 60"), "routes[0].stale_if_error"),
        ('[[routes]]\nprefix = "/x"\nupstream = "nope"\nauth = "none"', "routes[0].upstream"),
        ('[[routes]]\nprefix = "/internal/x"\nupstream = "auth"\nauth = "none"',
         "routes[0].prefix"),
        ('[[routes]]\nprefix = "/docs"\nupstream = "auth"\nauth = "none"\nversioned = false',
         "routes[0].prefix"),
        ('[[routes]]\nprefix = "/a/../b"\nupstream = "auth"\nauth = "none"', "routes[0].prefix"),
        ('[[routes]]\nprefix = "/a%2f"\nupstream = "auth"\nauth = "none"', "routes[0].prefix"),
        (
            (
                '[[routes]]\nprefix = "/x"\nupstream = "auth"\nauth = "none"\n'
                '[[routes]]\nprefix = "/x"\nupstream = "auth"\nauth = "none"'
            ),
            "routes[1].prefix",
        ),
        (
            '[limits]\n[[limits.routes]]\nmatch = "GET /x"\npolicies = ["2/minute"]\ncost = 3',
            "limits.routes[0].cost",
        ),
        ('[limits]\n[[limits.routes]]\nmatch = "GET /x"', "limits.routes[0]"),
        ('[limits]\n[[limits.routes]]\nmatch = "/x"\npolicies = ["2/minute"]',
         "limits.routes[0].match"),
        (
            (
                '[limits.tiers]\ndefault = ["1/day"]\n[[limits.routes]]\nmatch = "GET /x"\n'
                'name = "default"\npolicies = ["2/day"]'
            ),
            "limits.routes[0]",
        ),
        ('[limits.tiers]\ndefault = ["1/day", "2/day"]', "limits.tiers.default"),
        ('[cors]\nallow_origins = ["*"]\nallow_credentials = true', "cors.allow_credentials"),
    ],
)  # fmt: skip
def test_what_does_not_hold_together(text: str, path: str, tmp_path: Path) -> None:
    assert path in problems_of(text, tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "missing.toml", {})
    for content in (b"[", b"\xff"):
        (tmp_path / "junk.toml").write_bytes(content)
        with pytest.raises(ConfigError, match="is not TOML"):
            read_config(tmp_path / "junk.toml", {})


@pytest.mark.parametrize("table", ["versions", "limits", "server", "upstreams", "routes", "cors"])
def test_tables_of_another_type(table: str) -> None:
    others: list[Any] = [5, "x", [1], {"x": []}]
    for junk in others:
        with pytest.raises(ConfigError):
            make_config({**shipped(), table: junk}, {"tasks": ("http://x:1",)})


def test_the_digest_names_the_content() -> None:
    one, same = make_config(shipped(), {}), make_config(shipped(), {})
    other = make_config(shipped(), {"tasks": ("http://x:1",)})
    assert one.digest == same.digest != other.digest


def test_a_version_that_leaves_is_followed_by_the_next_stable_one(tmp_path: Path) -> None:
    config = read(
        """
default_version = "v4"
[versions.v1]
status = "retired"
[versions.v2]
status = "deprecated"
deprecated_at = 2026-01-01
successor = "v5"
[versions.v3]
status = "stable"
sunset_at = 2027-01-01
[versions.v4]
status = "stable"
[versions.v5]
status = "preview"
deprecated_at = 2026-01-01
[versions.v10]
status = "stable"
""",
        tmp_path,
    )
    found = {name: version.successor for name, version in config.versions.items()}
    assert found == {"v1": "v4", "v2": "v5", "v3": "v4", "v4": None, "v5": "v10", "v10": None}
