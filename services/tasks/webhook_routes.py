"""The policy table of webhooks; version 2 only."""

from __future__ import annotations

from services.tasks.domain import (
    DeliveryNotFound,
    RequestInFlight,
    TooManyWebhooks,
    WebhookNotFound,
)
from services.tasks.handlers import webhooks
from services.tasks.handlers.idempotent import ABOUT, idempotent
from services.tasks.schemas import requests
from services.tasks.schemas import webhooks as shapes
from shared.endpoints import MERGE_PATCH, Endpoint
from shared.errors import JSON, IdempotencyMismatch
from shared.identity import Permission

READ, WRITE = Permission.TASKS_READ, Permission.TASKS_WRITE
TAGS = ("webhooks",)
_KEYED = (RequestInFlight, IdempotencyMismatch)
_FORMAT = (
    "Events are posted as `{id, type, event, timestamp, data, sequence}`, updates with the "
    "`previous` values, signed by Standard Webhooks 1.0. Each is delivered at least once and those "
    "of one task in their order; `id` and `sequence` are those of the change feed. What is not "
    "answered 2xx within 15 seconds is tried again over three days; 410 disables the webhook."
)

WEBHOOKS = (
    Endpoint(
        method="POST",
        path="/webhooks",
        handler=webhooks.create_webhook,
        summary="Ask to be told what happens to the tasks",
        description=f"{_FORMAT}\n\n{ABOUT}",
        permission=WRITE,
        query=requests.OwnerQuery,
        body=shapes.NewWebhook,
        body_example={"url": "https://example.org/hook", "events": ["task.completed"]},
        returns=shapes.WebhookWithSecret,
        status=201,
        answer_headers={"Location": "Path of the webhook."},
        errors=(TooManyWebhooks, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/webhooks",
        handler=webhooks.list_webhooks,
        summary="All webhooks, the newest first",
        permission=READ,
        query=requests.OwnerQuery,
        returns=shapes.WebhookList,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{webhook_id}",
        handler=webhooks.get_webhook,
        summary="Show a webhook",
        permission=READ,
        path_params=shapes.WebhookRef,
        query=requests.OwnerQuery,
        returns=shapes.WebhookView,
        errors=(WebhookNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="PATCH",
        path="/webhooks/{webhook_id}",
        handler=webhooks.patch_webhook,
        summary="Change the fields given",
        description="Enabled again, a webhook gets what is still waiting for it.",
        permission=WRITE,
        path_params=shapes.WebhookRef,
        query=requests.OwnerQuery,
        body=shapes.WebhookPatch,
        body_media=(MERGE_PATCH, JSON),
        body_example={"enabled": True},
        returns=shapes.WebhookView,
        errors=(WebhookNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="DELETE",
        path="/webhooks/{webhook_id}",
        handler=webhooks.delete_webhook,
        summary="Remove a webhook and its deliveries",
        permission=WRITE,
        path_params=shapes.WebhookRef,
        query=requests.OwnerQuery,
        status=204,
        errors=(WebhookNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}/rotate-secret",
        handler=webhooks.rotate_secret,
        summary="Sign with a new secret, and for 24 hours with the old one too",
        description=ABOUT,
        permission=WRITE,
        path_params=shapes.WebhookRef,
        query=requests.OwnerQuery,
        returns=shapes.WebhookWithSecret,
        errors=(WebhookNotFound, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}/test",
        handler=webhooks.send_test,
        summary="Deliver an event of the type webhook.test",
        description=ABOUT,
        permission=WRITE,
        path_params=shapes.WebhookRef,
        query=requests.OwnerQuery,
        returns=shapes.DeliveryView,
        status=202,
        errors=(WebhookNotFound, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{webhook_id}/deliveries",
        handler=webhooks.list_deliveries,
        summary="What was delivered and what was not, the newest first",
        permission=READ,
        path_params=shapes.WebhookRef,
        query=shapes.DeliveriesQuery,
        returns=shapes.DeliveryPage,
        errors=(WebhookNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}/redeliver",
        handler=webhooks.redeliver_range,
        summary="Make the deliveries of some time again",
        description="At most 10,000 in one request, the oldest first; `next` says where to go "
        "on.\n\n"
        f"{ABOUT}",
        permission=WRITE,
        path_params=shapes.WebhookRef,
        query=requests.OwnerQuery,
        body=shapes.Redelivery,
        body_example={"since": "2030-01-31T17:00:00Z", "states": ["dead"]},
        returns=shapes.Redelivered,
        status=202,
        errors=(WebhookNotFound, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/deliveries/{delivery_id}/redeliver",
        handler=webhooks.redeliver,
        summary="Make one delivery again",
        description=ABOUT,
        permission=WRITE,
        path_params=shapes.DeliveryRef,
        query=requests.OwnerQuery,
        returns=shapes.DeliveryView,
        status=202,
        errors=(DeliveryNotFound, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
)
