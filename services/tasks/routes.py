"""The policy table of tasks: who may call what, with which body, answering what, failing how."""

from __future__ import annotations

from services.tasks.domain import (
    CursorRefused,
    ExternalIdTaken,
    FeedExpired,
    FeedForeign,
    ParentRefused,
    RequestInFlight,
    TaskChanged,
    TaskNotFound,
)
from services.tasks.handlers import bulk, changes, files, trash, v1, v2
from services.tasks.handlers.idempotent import ABOUT as IDEMPOTENCY
from services.tasks.handlers.idempotent import idempotent
from services.tasks.handlers.remembered import remembered
from services.tasks.schemas import changes as shapes_changes
from services.tasks.schemas import requests, transfer
from services.tasks.schemas import v1 as shapes_v1
from services.tasks.schemas import v2 as shapes_v2
from services.tasks.transfer.formats import MEDIA_TYPES
from services.tasks.webhook_routes import WEBHOOKS
from shared.endpoints import MERGE_PATCH, Endpoint
from shared.errors import JSON, IdempotencyMismatch, PreconditionRequired, RequestTimeout
from shared.identity import Permission

READ, WRITE = Permission.TASKS_READ, Permission.TASKS_WRITE
TAGS = ("tasks",)
_LOCATION = {"Location": "Path of the task."}
_VALIDATORS = {
    "ETag": "Strong entity tag of the task.",
    "Last-Modified": "When the task was last changed.",
    "Cache-Control": "What caches may do.",
}
_OF_LIST = {
    "ETag": "Strong entity tag of the page; it changes with every change of a task of the owner.",
    "Cache-Control": "What caches may do.",
}
_UNCHANGED = {304: "No task of the owner has changed since the answer that If-None-Match names"}
# If-Match is told of here and not declared as a parameter, and so is Idempotency-Key: a tag that is
# good is one that was answered before, and a key may come again with the same request only. No
# schema can say so, and a request that keeps to a schema must not be answered with 412 or 422.
_IF_MATCH = (
    "With `If-Match: <etag>` the task is touched only in the state that the entity tag stands "
    "for; otherwise the answer is 412. A service in strict mode answers 428 without it."
)
_PRECONDITION = (TaskChanged, PreconditionRequired)
_KEYED = (RequestInFlight, IdempotencyMismatch)
_EXAMPLE = {"title": "Write the report", "priority": 4, "due_date": "2030-01-31T17:00:00+01:00"}
_IMPORT = """
Takes JSON Lines, CSV with a header row (commas, semicolons or tabs), iCalendar VTODOs and todo.txt,
as `format` or else the Content-Type says. JSON Lines are one JSON object a line: `title`, and any
of `external_id, description, priority, completed, completed_at, created_at, due_date, labels,
parent_external_id`, such as

    {"external_id": "ch-1", "title": "Write", "parent_external_id": "report"}
    {"external_id": "report", "title": "The report", "priority": 4, "labels": ["work"]}

Good lines are imported, 500 at a time and parents before their children; bad ones are named with
their errors and change nothing. A request that is cut off may have imported some: sent again it
imports the others. A line whose `external_id` is that of a task that you have counts as unchanged
and leaves the task as it is, so a file can be sent again; a line without one is known again by its
content. `parent_external_id` may name a line further down. At most 64 MiB and 100,000 lines.
A caller's files are taken one after the other; 503 when one cannot begin within 8 seconds.
""".strip()

V1 = (
    Endpoint(
        method="GET",
        path="/tasks",
        handler=v1.list_tasks,
        summary="List tasks, the newest first",
        permission=READ,
        query=requests.ListQueryV1,
        headers=requests.ConditionalRead,
        returns=shapes_v1.TaskList,
        answer_headers=_OF_LIST,
        other_statuses=_UNCHANGED,
        around=remembered,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/tasks",
        handler=v1.create_task,
        summary="Create a task",
        description=IDEMPOTENCY,
        permission=WRITE,
        query=requests.OwnerQuery,
        body=shapes_v1.NewTask,
        body_example=_EXAMPLE,
        returns=shapes_v1.ChangedTask,
        status=201,
        answer_headers=_LOCATION,
        errors=_KEYED,
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/tasks/bulk",
        handler=v1.create_tasks,
        summary="Create up to 50 tasks; bad ones are named, the others created",
        description=IDEMPOTENCY,
        permission=WRITE,
        query=requests.OwnerQuery,
        body=shapes_v1.NEW_TASKS,
        body_example=[_EXAMPLE, {"title": "Send the report"}],
        returns=shapes_v1.BulkAnswer,
        errors=_KEYED,
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/tasks/{task_id}",
        handler=v1.get_task,
        summary="Show a task",
        permission=READ,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        returns=shapes_v1.TaskAnswer,
        errors=(TaskNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="PUT",
        path="/tasks/{task_id}",
        handler=v1.update_task,
        summary="Change the fields given; the others stay",
        permission=WRITE,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        body=shapes_v1.TaskChanges,
        body_example={"completed": True},
        returns=shapes_v1.ChangedTask,
        errors=(TaskNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="DELETE",
        path="/tasks/{task_id}",
        handler=v1.delete_task,
        summary="Delete a task and all below it",
        permission=WRITE,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        returns=shapes_v1.Message,
        errors=(TaskNotFound,),
        tags=TAGS,
    ),
)

V2 = (
    Endpoint(
        method="GET",
        path="/tasks",
        handler=v2.list_tasks,
        summary="List tasks by pages, filtered and sorted",
        description="With `cursor` the list is walked: each task that stays where it is comes "
        "exactly once, whatever is added, changed or removed meanwhile.",
        permission=READ,
        query=requests.ListQuery,
        headers=requests.ConditionalRead,
        returns=shapes_v2.TaskPage,
        also_returns=(shapes_v2.CursorPage,),
        errors=(CursorRefused,),
        answer_headers=_OF_LIST,
        other_statuses=_UNCHANGED,
        around=remembered,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/tasks",
        handler=v2.create_task,
        summary="Create a task",
        description=IDEMPOTENCY,
        permission=WRITE,
        query=requests.OwnerQuery,
        body=shapes_v2.NewTask,
        body_example={**_EXAMPLE, "labels": ["work"]},
        returns=shapes_v2.TaskView,
        status=201,
        answer_headers={**_LOCATION, **_VALIDATORS},
        errors=(ParentRefused, ExternalIdTaken, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/tasks/bulk",
        handler=bulk.create_bulk,
        summary="Create up to 50 tasks, each for itself or all together",
        description="Results come in the order of the tasks. One whose `external_id` you have "
        "already, with the same content, is answered 200 with your task, so that a bulk can be "
        f"sent again.\n\n{IDEMPOTENCY}",
        permission=WRITE,
        query=requests.OwnerQuery,
        body=shapes_v2.NewTasks,
        body_example={"mode": "partial", "tasks": [_EXAMPLE, {"title": "Send the report"}]},
        returns=shapes_v2.BulkResults,
        status=207,
        other_statuses={201: "All were created (atomic)"},
        errors=_KEYED,
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/tasks/trash",
        handler=trash.list_trash,
        summary="Deleted tasks that can be restored, the latest first",
        permission=READ,
        query=requests.PageQuery,
        returns=shapes_v2.TrashPage,
        answer_headers={"Cache-Control": "What caches may do."},
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/tasks/{task_id}/restore",
        handler=trash.restore_task,
        summary="Take a task out of the trash, with all that was deleted together with it",
        description="A task whose parent is gone comes back on the first level.\n\n"
        f"{_IF_MATCH}\n\n{IDEMPOTENCY}",
        permission=WRITE,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        returns=shapes_v2.TaskView,
        answer_headers=_VALIDATORS,
        errors=(TaskNotFound, *_PRECONDITION, ParentRefused, ExternalIdTaken, *_KEYED),
        around=idempotent,
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/tasks/export",
        handler=files.export_tasks,
        summary="All tasks as a file",
        description="As JSON Lines, CSV, iCalendar or todo.txt, in the fields that an import "
        "takes, the oldest first. A task without an `external_id` goes by its id.",
        permission=READ,
        query=transfer.FormatQuery,
        returns_media=MEDIA_TYPES,
        answer_headers={
            "Content-Disposition": "A file name.",
            "Cache-Control": "What caches may do.",
        },
        tags=TAGS,
    ),
    Endpoint(
        method="POST",
        path="/tasks/import",
        handler=files.import_tasks,
        summary="Create the tasks of a file",
        description=f"{_IMPORT}\n\n{IDEMPOTENCY}",
        permission=WRITE,
        query=transfer.ImportQuery,
        streams_body=True,
        body_media=(*MEDIA_TYPES, "application/octet-stream"),
        returns=transfer.ImportAnswer,
        errors=(ExternalIdTaken, RequestTimeout, *_KEYED),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/tasks/changes",
        handler=changes.list_changes,
        summary="What has happened since a request before, in the order of the commits",
        description="Every change of every task has the next `sequence`, without a gap. A token "
        "whose changes are not kept any longer is answered 410 with a `fresh_start` in `details`: "
        "list the tasks anew, then go on from it.",
        permission=READ,
        query=shapes_changes.ChangesQuery,
        returns=shapes_changes.ChangesAnswer,
        answer_headers={"Cache-Control": "What caches may do."},
        errors=(FeedExpired, FeedForeign),
        tags=TAGS,
    ),
    Endpoint(
        method="GET",
        path="/tasks/{task_id}",
        handler=v2.get_task,
        summary="Show a task",
        permission=READ,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        headers=requests.ConditionalRead,
        returns=shapes_v2.TaskView,
        answer_headers=_VALIDATORS,
        other_statuses={304: "The task is in the state that If-None-Match names"},
        errors=(TaskNotFound,),
        tags=TAGS,
    ),
    Endpoint(
        method="PUT",
        path="/tasks/{task_id}",
        handler=v2.replace_task,
        summary="Replace a task; what is left out gets its default",
        description=_IF_MATCH,
        permission=WRITE,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        body=shapes_v2.NewTask,
        body_example=_EXAMPLE,
        returns=shapes_v2.TaskView,
        answer_headers=_VALIDATORS,
        errors=(TaskNotFound, *_PRECONDITION, ParentRefused, ExternalIdTaken),
        tags=TAGS,
    ),
    Endpoint(
        method="PATCH",
        path="/tasks/{task_id}",
        handler=v2.patch_task,
        summary="Change the fields given; null empties one",
        description=_IF_MATCH,
        permission=WRITE,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        body=shapes_v2.TaskPatch,
        body_media=(MERGE_PATCH, JSON),
        body_example={"completed": True},
        returns=shapes_v2.TaskView,
        answer_headers=_VALIDATORS,
        errors=(TaskNotFound, *_PRECONDITION, ParentRefused, ExternalIdTaken),
        tags=TAGS,
    ),
    Endpoint(
        method="DELETE",
        path="/tasks/{task_id}",
        handler=v2.delete_task,
        summary="Delete a task and all below it",
        description=_IF_MATCH,
        permission=WRITE,
        path_params=requests.TaskRef,
        query=requests.OwnerQuery,
        status=204,
        errors=(TaskNotFound, *_PRECONDITION),
        tags=TAGS,
    ),
)

ENDPOINTS = (*(each.under("/v1") for each in V1), *(each.under("/v2") for each in (*V2, *WEBHOOKS)))
