"""What goes into the administration of accounts and what comes out."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from services.auth.schemas import Email, NewPassword, PersonName, ProfileView
from shared.fields import Flag, FlagParameter, Uuid, WholeParameter
from shared.identity import Role, Tier
from shared.schemas import StrictSchema, View

ROLES = [role.value for role in Role]
TIERS = [tier.value for tier in Tier if tier is not Tier.ANONYMOUS]


def _one_of(choices: list[str], **kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(choices), **kwargs)


class UserPath(StrictSchema):
    user_id = Uuid(required=True)


class UserQuery(StrictSchema):
    page = WholeParameter(minimum=1, maximum=10_000_000, load_default=1)
    page_size = WholeParameter(minimum=1, maximum=100, load_default=20)
    role = _one_of(ROLES)
    tier = _one_of(TIERS)
    is_active = FlagParameter()
    email = Email()


class UserRequest(StrictSchema):
    name = PersonName(required=True)
    email = Email(required=True)
    password = NewPassword(required=True)
    role = _one_of(ROLES, load_default=Role.USER.value)
    tier = _one_of(TIERS, load_default=Tier.DEFAULT.value)


class UserPatch(StrictSchema):
    name = PersonName()
    role = _one_of(ROLES)
    tier = _one_of(TIERS)
    is_active = Flag(metadata={"description": "False bans: sessions end, logins are refused."})
    locked = Flag(
        validate=validate.Equal(False, error="Only false: wrong passwords lock, nobody else."),
        metadata={"description": "False forgets the wrong passwords that lock it."},
    )


class UserPageView(View):
    count = fields.Integer(required=True)
    next = fields.String(required=True, allow_none=True)
    previous = fields.String(required=True, allow_none=True)
    results = fields.List(fields.Nested(ProfileView), required=True)
