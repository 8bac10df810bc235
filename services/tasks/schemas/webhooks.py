"""Webhooks and their deliveries."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from services.tasks.changes import EVENTS
from services.tasks.schemas.requests import PageQuery
from shared.fields import Flag, Text, Timestamp, Uuid
from shared.schemas import StrictSchema, View

MAX_URL = 2_000
STATES = ("pending", "delivered", "dead")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = (
    "(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
_URL = rf"https?://{_LABEL}(?:\.{_LABEL}){{0,9}}{_PORT}(?:/[A-Za-z0-9/._~!$&'()*+,;=:@?-]*)?"
_URL_PATTERN = re.compile(_URL, re.ASCII)


class Url(Text):
    """An http or https URL without credentials."""

    def __init__(self, **options: Any) -> None:
        about = "Where events are posted to: http or https, a host name, no credentials."
        metadata = {"pattern": f"^{_URL}$", "description": about}
        super().__init__(minimum=1, maximum=MAX_URL, metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _URL_PATTERN.fullmatch(text):
            raise ValidationError("Must be an http or https URL with a host name.")
        return text


class Events(fields.List[Any]):
    """Different events."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            fields.String(validate=validate.OneOf(EVENTS)),
            validate=validate.Length(min=1, max=len(EVENTS)),
            metadata={"uniqueItems": True},
            **options,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        events = super()._deserialize(value, attr, data, **kwargs)
        if len(set(events)) != len(events):
            raise ValidationError("Must not name an event twice.")
        return events


class WebhookRef(StrictSchema):
    """The webhook that a path names."""

    webhook_id = Uuid(required=True)


class DeliveryRef(StrictSchema):
    """The delivery that a path names."""

    delivery_id = Uuid(required=True)


class NewWebhook(StrictSchema):
    url = Url(required=True)
    events = Events(load_default=lambda: list(EVENTS))
    description = Text(maximum=200, allow_none=True, load_default=None)
    enabled = Flag(load_default=True)


class WebhookPatch(StrictSchema):
    """The fields to change; the others stay."""

    url = Url()
    events = Events()
    description = Text(maximum=200, allow_none=True)
    enabled = Flag()


class DeliveriesQuery(PageQuery):
    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


class Redelivery(StrictSchema):
    """Which deliveries to make again, by the time that they were made first."""

    since = Timestamp(required=True)
    until = Timestamp(load_default=None, allow_none=True)
    states = fields.List(
        fields.String(validate=validate.OneOf(STATES)),
        load_default=lambda: ["dead"],
        validate=validate.Length(max=len(STATES)),
        metadata={"description": "Only `dead` ones unless said otherwise."},
    )


class WebhookView(View):
    id = fields.UUID()
    url = fields.String()
    events = fields.List(fields.String())
    description = fields.String(allow_none=True)
    enabled = fields.Boolean()
    disabled_reason = fields.String(
        allow_none=True, metadata={"description": "Why the service disabled it by itself."}
    )
    failing_since = Timestamp(allow_none=True)
    previous_secret_until = Timestamp(allow_none=True)
    created_at = Timestamp()
    updated_at = Timestamp()


class WebhookWithSecret(WebhookView):
    secret = fields.String(
        metadata={"description": "Verifies signatures (Standard Webhooks 1.0). Shown only here."}
    )


class WebhookList(View):
    results = fields.Nested(WebhookView, many=True)


class DeliveryView(View):
    id = fields.UUID()
    webhook_id = fields.UUID()
    event_id = fields.UUID(metadata={"description": "`webhook-id`; the `id` in the feed."})
    type = fields.String()
    task_id = fields.UUID(allow_none=True)
    sequence = fields.Integer(allow_none=True)
    state = fields.String(validate=validate.OneOf(STATES))
    attempts = fields.Integer()
    next_attempt_at = Timestamp(allow_none=True)
    last_attempt_at = Timestamp(allow_none=True)
    last_status = fields.Integer(allow_none=True)
    last_error = fields.String(allow_none=True)
    created_at = Timestamp()


class DeliveryPage(View):
    count = fields.Integer()
    next = fields.String(allow_none=True)
    previous = fields.String(allow_none=True)
    results = fields.Nested(DeliveryView, many=True)


class Redelivered(View):
    count = fields.Integer(metadata={"description": "Deliveries that are made again."})
    next = Timestamp(
        allow_none=True,
        metadata={"description": "`since` of a further request, when there were more than 10,000."},
    )
