import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from services.auth.key_pairs import thumbprint
from tests.service.auth.conftest import Auth
from tests.tokens import private_key

HEADER = {"typ": "at+jwt"}


async def signing_key(auth: Auth) -> tuple[str, Any]:
    """The service's own key: what only an insider has."""
    [row] = await auth.sql("SELECT kid, private_key FROM signing_keys WHERE state = 'active'")
    return row["kid"], serialization.load_der_private_key(row["private_key"], password=None)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header: dict[str, Any] = jwt.get_unverified_header(token)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return header, claims


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_a_token_says_what_the_contract_says(auth: Auth) -> None:
    grant = await auth.register()
    header, claims = parts(grant["access_token"])
    kid, key = await signing_key(auth)
    assert header == {"alg": "RS256", "typ": "at+jwt", "kid": kid}
    assert kid == thumbprint(key.public_key())
    assert set(claims) == {
        "iss", "aud", "sub", "client_id", "sid", "jti", "iat", "exp", "role", "tier", "scope",
        "epoch",
    }  # fmt: skip
    assert (claims["iss"], claims["aud"]) == ("tasklane", "tasklane-api")
    assert claims["client_id"] == "tasklane"
    assert claims["sub"] == grant["user"]["id"]
    assert claims["exp"] - claims["iat"] == 900
    assert (claims["role"], claims["tier"], claims["epoch"]) == ("user", "default", 0)


async def test_an_unsigned_token_is_refused(auth: Auth) -> None:
    grant = await auth.register()
    header, claims = parts(grant["access_token"])
    for algorithm in ["none", "None", "nOnE", ""]:
        forged = f"{encoded({**header, 'alg': algorithm})}.{encoded(claims)}."
        assert (await auth.profile(forged)).status == 401
        signature = grant["access_token"].rpartition(".")[2]
        assert (await auth.profile(forged + signature)).status == 401


async def test_the_public_key_is_no_hmac_secret(auth: Auth) -> None:
    grant = await auth.register()
    header, claims = parts(grant["access_token"])
    _, key = await signing_key(auth)
    public = key.public_key()
    forms = [
        public.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
        for form in (serialization.Encoding.PEM, serialization.Encoding.DER)
    ]
    forms.append(await (await auth.client.get("/.well-known/jwks.json")).read())
    hmac_of = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    for form in forms:
        signed = f"{encoded({**header, 'alg': 'HS256'})}.{encoded(claims)}"
        signature = base64.urlsafe_b64encode(hmac_of.sign(signed.encode(), form)).rstrip(b"=")
        assert (await auth.profile(f"{signed}.{signature.decode()}")).status == 401


async def test_an_edited_claim_breaks_the_signature(auth: Auth) -> None:
    grant = await auth.register()
    head, _, signature = grant["access_token"].split(".")
    _, claims = parts(grant["access_token"])
    for change in ({"role": "admin"}, {"tier": "admin"}, {"exp": 2**31}, {"sub": "0" * 32}):
        forged = f"{head}.{encoded({**claims, **change})}.{signature}"
        assert (await auth.profile(forged)).status == 401


async def test_even_our_own_signature_makes_no_good_token_of_bad_claims(auth: Auth) -> None:
    grant = await auth.register()
    kid, key = await signing_key(auth)
    _, claims = parts(grant["access_token"])
    changes: list[dict[str, Any]] = [
        {"aud": "other-api"},
        {"aud": ["tasklane-api"]},
        {"iss": "tasklane-evil"},
        {"iss": "task"},
        {"exp": int(time.time()) - 60},
        {"iat": int(time.time()) + 3600},
        {"exp": None},
        {"sid": None},
        {"role": "root"},
        {"role": None},
        {"sub": "ada"},
    ]
    for change in changes:
        good = {name: value for name, value in {**claims, **change}.items() if value is not None}
        forged = jwt.encode(good, key, algorithm="RS256", headers={**HEADER, "kid": kid})
        assert (await auth.profile(forged)).status == 401


async def test_a_token_of_another_kind_is_refused(auth: Auth) -> None:
    grant = await auth.register()
    kid, key = await signing_key(auth)
    _, claims = parts(grant["access_token"])
    for kind in ["JWT", "rt+jwt", None]:
        forged = jwt.encode(claims, key, algorithm="RS256", headers={"typ": kind, "kid": kid})
        assert (await auth.profile(forged)).status == 401


async def test_a_foreign_key_under_any_name_is_refused(auth: Auth) -> None:
    grant = await auth.register()
    kid, _ = await signing_key(auth)
    _, claims = parts(grant["access_token"])
    for name in (kid, "unknown", "../../etc/passwd", "' OR 1=1 --", "\x00"):
        forged = jwt.encode(
            claims, private_key("foreign"), algorithm="RS256", headers={**HEADER, "kid": name}
        )
        assert (await auth.profile(forged)).status == 401
    assert (await auth.profile(grant["access_token"])).status == 200


async def test_a_good_signature_for_a_session_that_is_none_of_ours_shows_nothing(
    auth: Auth,
) -> None:
    grant = await auth.register()
    kid, key = await signing_key(auth)
    _, claims = parts(grant["access_token"])
    for sid in ("session", "0199a6f0-c0de-7000-8000-000000000001"):
        forged = jwt.encode(
            {**claims, "sid": sid}, key, algorithm="RS256", headers={**HEADER, "kid": kid}
        )
        assert (await auth.profile(forged)).status == 401


async def test_an_authorization_header_that_is_no_bearer_token(auth: Auth) -> None:
    for authorization in ["", "Bearer", "Bearer ", "Basic YTpi", "bearer x y"]:
        answer = await auth.client.get("/v1/auth/profile", headers={"Authorization": authorization})
        assert answer.status == 401
