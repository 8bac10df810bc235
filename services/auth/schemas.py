"""What goes into auth and what comes out."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from services.auth.domain import EMAIL_PATTERN, MAX_EMAIL_LENGTH, NAME_PATTERN, normal_email
from services.auth.passwords.strength import LONGEST, PASSWORD_PATTERN, SHORTEST, TOO_REGULAR
from services.auth.tokens import MAX_REFRESH_LENGTH
from shared.fields import Flag, Text, Timestamp, Uuid, Whole, WholeParameter
from shared.identity import Permission, Role, Tier
from shared.schemas import StrictSchema, View


class PersonName(Text):
    """A name as people write it: 2 to 50 characters, none that controls how text is shown."""

    def __init__(self, **kwargs: Any) -> None:
        pattern = validate.Regexp(
            re.compile(f"{NAME_PATTERN[:-1]}\\Z"),
            error="Must not begin or end with a space, or contain control characters.",
        )
        super().__init__(
            minimum=2,
            maximum=50,
            validate=pattern,
            metadata={"pattern": NAME_PATTERN, "example": "Ada Lovelace"},
            **kwargs,
        )


class Email(fields.String):
    """An ASCII e-mail address, loaded in its normal form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            metadata={
                "format": "email",
                "pattern": EMAIL_PATTERN,
                "maxLength": MAX_EMAIL_LENGTH,
                "example": "ada@example.com",
            },
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        email = normal_email(super()._deserialize(value, attr, data, **kwargs))
        if email is None:
            raise ValidationError("Not a valid email address.")
        return email


class NewPassword(Text):
    """A password that an account may get: 12 to 128 code points of any kind."""

    def __init__(self, **kwargs: Any) -> None:
        pattern = validate.Regexp(re.compile(f"{PASSWORD_PATTERN[:-1]}\\Z"), error=TOO_REGULAR)
        super().__init__(
            minimum=SHORTEST,
            maximum=LONGEST,
            validate=pattern,
            metadata={
                "format": "password",
                "pattern": PASSWORD_PATTERN,
                "description": "Passwords that everybody tries are refused.",
                "example": "seven-lazy-otters-paint",
            },
            **kwargs,
        )


class Opaque(fields.String):
    """A string that is compared with something and otherwise of no interest.

    Its length stands in the pattern and not in keywords of its own: those make API testers try
    every length in turn, and six wrong passwords for one address lock it.
    """

    def __init__(self, *, maximum: int, **kwargs: Any) -> None:
        self._shape = re.compile(f"[^\\u0000]{{1,{maximum}}}")
        self._fault = f"Must be 1 to {maximum} characters, none of them U+0000."
        metadata = {"pattern": f"^{self._shape.pattern}$", **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not self._shape.fullmatch(text):
            raise ValidationError(self._fault)
        return text


class GivenPassword(Opaque):
    """A password to be checked: whatever it is, it is right or wrong."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"format": "password", "example": "seven-lazy-otters-paint"}
        super().__init__(maximum=LONGEST, metadata=metadata, **kwargs)


class Registration(StrictSchema):
    """Nobody picks his own role: `role` is an unknown field here."""

    name = PersonName(required=True)
    email = Email(required=True)
    password = NewPassword(required=True)


class Login(StrictSchema):
    email = Email(required=True)
    password = GivenPassword(required=True)
    otp = Opaque(
        maximum=64,
        metadata={"description": "Second factor; not looked at while the account has none."},
    )


class RefreshRequest(StrictSchema):
    refresh_token = Opaque(maximum=MAX_REFRESH_LENGTH, required=True)


class LogoutRequest(StrictSchema):
    everywhere = Flag(
        data_key="all",
        load_default=False,
        metadata={"description": "End all of your sessions, not only this one."},
    )


class ProfilePatch(StrictSchema):
    name = PersonName()


class PasswordChange(StrictSchema):
    current_password = GivenPassword(required=True)
    new_password = NewPassword(required=True)


class ProfileView(View):
    id = Uuid(required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf([role.value for role in Role]))
    tier = fields.String(
        required=True,
        validate=validate.OneOf([tier.value for tier in Tier if tier is not Tier.ANONYMOUS]),
    )
    is_active = fields.Boolean(required=True)
    email_verified = fields.Boolean(required=True)
    mfa_enabled = fields.Boolean(required=True)
    created_at = Timestamp(required=True)


class GrantView(View):
    """Both tokens, and the two ends of the session that they belong to."""

    user = fields.Nested(ProfileView, required=True)
    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    token_type = fields.String(required=True, validate=validate.Equal("Bearer"))
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
    session_expires_at = Timestamp(required=True)
    idle_expires_at = Timestamp(required=True)


class CookieGrantView(View):
    """What a browser gets beside its cookie, and the two ends of the session."""

    user = fields.Nested(ProfileView, required=True)
    csrf_token = fields.String(
        required=True, metadata={"description": "Goes into X-CSRF-Token of what changes anything."}
    )
    session_expires_at = Timestamp(required=True)
    idle_expires_at = Timestamp(required=True)


class SessionProfileView(ProfileView):
    """The account of a browser's session, and the two ends of that."""

    session_expires_at = Timestamp(required=True)
    idle_expires_at = Timestamp(required=True)


class CsrfView(View):
    csrf_token = fields.String(required=True)


class AcceptedView(View):
    message = fields.String(required=True)


class JwkView(View):
    """An RSA public key (RFC 7517)."""

    kid = fields.String(required=True)
    use = fields.String(required=True)
    alg = fields.String(required=True)
    kty = fields.String(required=True)
    n = fields.String(required=True)
    e = fields.String(required=True)


class JwkSetView(View):
    keys = fields.List(fields.Nested(JwkView), required=True)


class ApiKeyRequest(StrictSchema):
    name = Text(minimum=1, maximum=100, required=True, metadata={"example": "nightly import"})
    scopes = fields.List(
        fields.String(validate=validate.OneOf([one.value for one in Permission])),
        load_default=list,
        validate=validate.Length(min=1, max=len(Permission)),
        metadata={"description": "Left out: all that you may do.", "example": ["tasks:read"]},
    )
    expires_at = Timestamp(
        load_default=None, metadata={"description": "In the future. Left out: never."}
    )


class ApiKeyRotation(StrictSchema):
    overlap_seconds = Whole(
        minimum=0,
        maximum=7 * 86_400,
        load_default=86_400,
        metadata={"description": "How long the present key stays good.", "example": 3600},
    )


class ApiKeyPath(StrictSchema):
    key_id = Uuid(required=True)


class ApiKeyView(View):
    """A key without its secret; no scopes mean all that its owner may do."""

    id = Uuid(required=True)
    name = fields.String(required=True)
    last_four = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)
    created_at = Timestamp(required=True)
    expires_at = Timestamp(required=True, allow_none=True)
    last_used_at = Timestamp(required=True, allow_none=True)


class MadeApiKeyView(ApiKeyView):
    """A key with its secret, which is shown this once."""

    key = fields.String(required=True)


class ApiKeysView(View):
    api_keys = fields.List(fields.Nested(ApiKeyView), required=True)


class ExchangeRequest(StrictSchema):
    """One credential: an API key, or the secret in a session's cookie."""

    api_key = Opaque(maximum=128)
    session = Opaque(maximum=128)

    @validates_schema
    def is_one(self, data: dict[str, str], **_: Any) -> None:
        if len(data) != 1:
            raise ValidationError("Give either an api_key or a session.", "api_key")


class AccessTokenView(View):
    """`csrf_key` makes and checks the CSRF tokens of a session; an API key has none."""

    access_token = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})
    csrf_key = fields.String(required=True, allow_none=True)


class SessionPath(StrictSchema):
    session_id = Uuid(required=True)


class SessionView(View):
    """One login. `device` is what the client calls itself."""

    id = Uuid(required=True)
    device = fields.String(required=True)
    address = fields.String(required=True)
    created_at = Timestamp(required=True)
    last_seen_at = Timestamp(required=True)
    expires_at = Timestamp(required=True)
    current = fields.Boolean(required=True)


class SessionsView(View):
    sessions = fields.List(fields.Nested(SessionView), required=True)


class ServiceTokenView(View):
    access_token = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds."})


class FeedQuery(StrictSchema):
    after = WholeParameter(minimum=0, maximum=2**53, load_default=0)
    wait = WholeParameter(
        minimum=0,
        maximum=20,
        load_default=5,
        metadata={"description": "Seconds to wait for something when there is nothing."},
    )


class RevocationView(View):
    """A session whose tokens are void, or a user whose tokens from before `epoch` are."""

    sequence = fields.Integer(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["session", "user"]))
    subject = Uuid(required=True)
    epoch = fields.Integer(required=True, allow_none=True)
    at = Timestamp(required=True)


class RevocationPageView(View):
    revocations = fields.List(fields.Nested(RevocationView), required=True)
    next = fields.Integer(required=True)
    more = fields.Boolean(required=True)
    reset = fields.Boolean(required=True)
