"""The key, the key set and the access token with which the front doors are asked."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_LIFETIME_SECONDS = 3_600
_SUBJECT = "0199a6f0-c0de-7000-8000-000000000001"
KEY_SET = "keys.json"
PUBLIC_KEY = "key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that signs tokens, and the folder with its public half as PEM and as JWK set."""

    folder: Path
    key: RSAPrivateKey

    @property
    def key_set(self) -> Path:
        """The JWK set."""
        return self.folder / KEY_SET

    @property
    def public_key(self) -> Path:
        """The same key as PEM."""
        return self.folder / PUBLIC_KEY

    @property
    def token(self) -> str:
        """An access token of the user that measurements are made with."""
        return self.token_of(_SUBJECT)

    def token_of(self, subject: str) -> str:
        """An access token of any user, of the shape that auth signs."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": "tasklane",
            "aud": "tasklane-api",
            "sub": subject,
            "client_id": "tasklane",
            "sid": "0199a6f0-c0de-7000-8000-000000000002",
            "jti": "0199a6f0-c0de-7000-8000-000000000003",
            "iat": now,
            "exp": now + _LIFETIME_SECONDS,
            "role": "user",
            "tier": "default",
            "scope": "",
            "epoch": 0,
        }
        headers = {"kid": "bench", "typ": "at+jwt"}
        return jwt.encode(claims, self.key, algorithm="RS256", headers=headers)

    @property
    def headers(self) -> dict[str, str]:
        """What a request of the user carries."""
        return self.headers_of(_SUBJECT)

    def headers_of(self, subject: str) -> dict[str, str]:
        """What a request of any user carries."""
        return {"Authorization": f"Bearer {self.token_of(subject)}"}


def make_identity(folder: Path) -> Identity:
    """A fresh key, its public half written into `folder`."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key()
    member: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    member |= {"kid": "bench", "use": "sig", "alg": "RS256"}
    (folder / KEY_SET).write_text(json.dumps({"keys": [member]}))
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / PUBLIC_KEY).write_bytes(pem)
    return Identity(folder, key)
