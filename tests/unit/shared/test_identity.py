"""Access tokens: the forgeries first, then what a good one grants."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from shared.errors import InvalidToken, ServiceUnavailable
from shared.identity import (
    PERMISSIONS,
    AccessTokenVerifier,
    Permission,
    Principal,
    Role,
    Tier,
    bearer_token,
)
from tests import tokens
from tests.tokens import AUDIENCE, ISSUER, KEY_ID, MISSING, USER, Keys, token, verifier


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def hand_made(header: Any, claims: Any = None, signature: str = "AAAA") -> str:
    return f"{part(header)}.{part(tokens.claims() if claims is None else claims)}.{signature}"


def hmac_signed(algorithm: str, digest: Any) -> str:
    """The classic: the public key taken for the secret of an HMAC."""
    text = f"{part({'alg': algorithm, 'typ': 'at+jwt', 'kid': KEY_ID})}.{part(tokens.claims())}"
    return f"{text}.{part(hmac.new(tokens.public_pem(), text.encode(), digest).digest())}"


def edited(**changes: Any) -> str:
    """A good token whose claims were changed after it was signed."""
    header, _, signature = token().split(".")
    return f"{header}.{part(tokens.claims(**changes))}.{signature}"


def resigned_by(key: str) -> str:
    """Signed by another key, under the name of the trusted one."""
    return token(key=key, headers={"kid": KEY_ID})


RS256 = {"alg": "RS256", "typ": "at+jwt", "kid": KEY_ID}

FORGERIES: dict[str, str] = {
    "empty": "",
    "no token": "hello",
    "two parts": ".".join(token().split(".")[:2]),
    "four parts": token() + ".AAAA",
    "empty signature": token().rpartition(".")[0] + ".",
    "padding": token() + "==",
    "white space": token() + " ",
    "newline": token() + "\n",
    "standard base64": token().replace("-", "+").replace("_", "/") + "+",
    "other letters": token() + "é",
    "five megabytes": "A" * 5_000_000,
    "five megabytes of a header": hand_made({**RS256, "x": "A" * 5_000_000}),
    "one byte too long": token(sid="s" * 4096),
    "alg none": hand_made({**RS256, "alg": "none"}, signature="AA"),
    "alg None": hand_made({**RS256, "alg": "None"}),
    "alg HS256 with the public key": hmac_signed("HS256", hashlib.sha256),
    "alg HS512 with the public key": hmac_signed("HS512", hashlib.sha512),
    "alg RS384": hand_made({**RS256, "alg": "RS384"}),
    "alg missing": hand_made({"typ": "at+jwt", "kid": KEY_ID}),
    "alg null": hand_made({**RS256, "alg": None}),
    "alg list": hand_made({**RS256, "alg": ["RS256"]}),
    "typ missing": token(headers={"typ": None}),
    "typ JWT": token(headers={"typ": "JWT"}),
    "typ of an id token": token(headers={"typ": "id+jwt"}),
    "typ number": hand_made({**RS256, "typ": 5}),
    "typ list": hand_made({**RS256, "typ": ["at+jwt"]}),
    "kid missing": hand_made({"alg": "RS256", "typ": "at+jwt"}),
    "kid null": hand_made({**RS256, "kid": None}),
    "kid number": hand_made({**RS256, "kid": 1}),
    "kid list": hand_made({**RS256, "kid": [KEY_ID]}),
    "kid object": hand_made({**RS256, "kid": {"$ne": ""}}),
    "kid empty": hand_made({**RS256, "kid": ""}),
    "kid path": hand_made({**RS256, "kid": "../../../dev/null"}),
    "kid query": hand_made({**RS256, "kid": "x' OR 1=1 --"}),
    "kid surrogate": hand_made(rb'{"alg":"RS256","typ":"at+jwt","kid":"\ud800"}'),
    "kid of a stranger": token(key="stranger"),
    "kid too long": hand_made({**RS256, "kid": "k" * 129}),
    "key in the header": hand_made({**RS256, "jwk": tokens.public_jwk("stranger")}),
    "key by address": hand_made({**RS256, "jku": "http://127.0.0.1:1/keys"}),
    "critical extension": token(headers={"crit": ["exp"]}),
    "critical b64": token(headers={"crit": ["b64"], "b64": False}),
    "signed by a stranger": resigned_by("stranger"),
    "header is a list": hand_made(["RS256"]),
    "header is text": hand_made("RS256"),
    "header is null": hand_made(None),
    "header is no JSON": hand_made(b"{alg"),
    "header is no UTF-8": hand_made(b"\xff\xfe"),
    "header nests deep": hand_made(b"[" * 1500 + b"]" * 1500),
    "header has a long number": hand_made(b'{"alg":' + b"9" * 2500 + b"}"),
    "claims are a list": hand_made(RS256, ["sub"]),
    "edited role": edited(role="admin"),
    "edited subject": edited(sub="0199a6f0-c0de-7000-8000-000000000002"),
    "edited expiry": edited(exp=int(time.time()) + 10_000),
    "iss of another": token(iss="elsewhere"),
    "iss missing": token(iss=MISSING),
    "iss list": token(iss=[ISSUER]),
    "aud of another": token(aud="elsewhere"),
    "aud missing": token(aud=MISSING),
    "aud list": token(aud=[AUDIENCE]),
    "aud of many": token(aud=[AUDIENCE, "elsewhere"]),
    "aud null": token(aud=None),
    "exp past": token(exp=int(time.time()) - 60),
    "exp missing": token(exp=MISSING),
    "exp null": token(exp=None),
    "exp string": token(exp=str(int(time.time()) + 900)),
    "exp fraction": token(exp=time.time() + 900),
    "exp infinite": token(exp=float("inf")),
    "exp NaN": token(exp=float("nan")),
    "exp true": token(exp=True),
    "exp list": token(exp=[9]),
    "exp negative": token(exp=-1),
    "iat missing": token(iat=MISSING),
    "iat to come": token(iat=int(time.time()) + 3600),
    "iat infinite": token(iat=float("inf")),
    "iat string": token(iat="now"),
    "nbf to come": token(nbf=int(time.time()) + 3600),
    "nbf infinite": token(nbf=float("inf")),
    "sub missing": token(sub=MISSING),
    "sub no id": hand_made(RS256, tokens.claims(sub="me")),
    "role missing": token(role=MISSING),
    "role unknown": token(role="root"),
    "role list": token(role=["admin"]),
    "role object": token(role={"admin": True}),
    "role null": token(role=None),
    "tier unknown": token(tier="gold"),
    "scope list": token(scope=["tasks:read"]),
    "scope missing": token(scope=MISSING),
    "sid number": token(sid=1),
    "jti missing": token(jti=MISSING),
    "client_id missing": token(client_id=MISSING),
    "epoch string": token(epoch="0"),
    "epoch true": token(epoch=True),
    "epoch missing": token(epoch=MISSING),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
async def test_forgeries(forged: str) -> None:
    trusting = verifier()
    with pytest.raises(InvalidToken):
        await trusting.verify(forged)
    assert trusting.cached(forged) is None


async def test_a_subject_that_is_no_uuid_is_refused_although_it_is_signed() -> None:
    with pytest.raises(InvalidToken):
        await verifier().verify(token(sub="me"))


@pytest.mark.parametrize("name", ["five megabytes", "alg none", "typ JWT", "kid number"])
async def test_what_cannot_be_good_asks_for_no_key(name: str) -> None:
    keys = Keys(KEY_ID)
    strict = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(InvalidToken):
        await strict.verify(FORGERIES[name])
    assert keys.asked == []


async def test_no_keys_at_all_is_not_the_callers_fault() -> None:
    class Away:
        async def key(self, key_id: str) -> None:
            raise ServiceUnavailable

        def has(self, key_id: str) -> bool:
            return False

    strict = AccessTokenVerifier(Away(), issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(ServiceUnavailable):
        await strict.verify(token())


async def test_a_remembered_token_is_forgotten_with_the_key_that_verified_it() -> None:
    keys = Keys(KEY_ID)
    strict = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
    given = token()
    await strict.verify(given)
    assert strict.cached(given) is not None
    keys.withdraw(KEY_ID)
    assert strict.cached(given) is None
    with pytest.raises(InvalidToken):
        await strict.verify(given)


async def test_the_principal_of_a_good_token() -> None:
    expires_at = int(time.time()) + 900
    given = token(scope="tasks:read profile", role="moderator", tier="premium", exp=expires_at)
    assert await verifier().verify(given) == Principal(
        user_id=USER,
        role=Role.MODERATOR,
        tier=Tier.PREMIUM,
        session_id="session-1",
        token_id="token-1",
        scope=frozenset({"tasks:read", "profile"}),
        epoch=0,
        expires_at=expires_at,
    )


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_both_spellings_of_the_type(kind: str) -> None:
    assert (await verifier().verify(token(headers={"typ": kind}))).user_id == USER


async def test_a_huge_expiry_is_a_number_like_any_other() -> None:
    assert (await verifier().verify(token(exp=10**30))).expires_at == 10**30


class Clock:
    def __init__(self) -> None:
        self.seconds = time.time()

    def __call__(self) -> float:
        return self.seconds


async def test_a_token_is_remembered_until_it_expires() -> None:
    keys, clock = Keys(KEY_ID), Clock()
    strict = AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, now=clock)
    given = token()
    assert strict.cached(given) is None
    principal = await strict.verify(given)
    assert await strict.verify(given) is principal
    assert keys.asked == [KEY_ID]
    clock.seconds += 899
    assert strict.cached(given) is principal
    clock.seconds += 2
    assert strict.cached(given) is None


async def test_a_clock_that_is_set_back_makes_no_expired_token_good() -> None:
    """By the wall clock alone this token is good: it is that of a process a day behind."""
    strict = AccessTokenVerifier(
        Keys(KEY_ID), issuer=ISSUER, audience=AUDIENCE, now=lambda: time.time() + 86_400
    )
    with pytest.raises(InvalidToken):
        await strict.verify(token())


async def test_the_memory_is_bounded() -> None:
    strict = AccessTokenVerifier(Keys(KEY_ID), issuer=ISSUER, audience=AUDIENCE, cache_size=3)
    given = [token(jti=f"token-{at}") for at in range(5)]
    for one in given:
        await strict.verify(one)
    remembered = [one for one in given if strict.cached(one) is not None]
    assert remembered == given[2:]


async def test_forgetting_takes_only_what_is_unwanted() -> None:
    strict = verifier()
    ended, other = token(sid="ended"), token(sid="other")
    await strict.verify(ended)
    await strict.verify(other)
    assert strict.forget(lambda principal: principal.session_id == "ended") == 1
    assert strict.cached(ended) is None
    assert strict.cached(other) is not None


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer    ", "Basic dTpw", "Token abc", "abc", "Bearer\tabc", " x"],
)
def test_headers_without_a_bearer_token(header: str) -> None:
    with pytest.raises(InvalidToken):
        bearer_token(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER   abc "])
def test_headers_with_one(header: str) -> None:
    assert bearer_token(header) == "abc"


def principal(role: Role, *scope: str) -> Principal:
    return Principal(
        user_id=USER,
        role=role,
        tier=Tier.DEFAULT,
        session_id="s",
        token_id="t",
        scope=frozenset(scope),
        epoch=0,
        expires_at=0,
    )


@pytest.mark.parametrize(
    ("role", "denied"),
    [
        (
            Role.READONLY,
            {"tasks:write", "tasks:others", "users:read", "users:ban", "users:write", "audit:read"},
        ),
        (Role.USER, {"tasks:others", "users:read", "users:ban", "users:write", "audit:read"}),
        (Role.MODERATOR, {"tasks:others", "users:write", "audit:read"}),
        (Role.ADMIN, set()),
    ],
)
def test_the_permission_table(role: Role, denied: set[str]) -> None:
    caller = principal(role)
    assert {one.value for one in Permission if not caller.may(one)} == denied


def test_every_role_is_in_the_table() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_a_scope_narrows_a_role_and_never_widens_it() -> None:
    narrow = principal(Role.ADMIN, "tasks:read")
    assert narrow.may(Permission.TASKS_READ)
    assert not narrow.may(Permission.TASKS_WRITE)
    assert not principal(Role.READONLY, "tasks:write").may(Permission.TASKS_WRITE)
    assert not principal(Role.ADMIN, "nothing").may(Permission.TASKS_READ)
