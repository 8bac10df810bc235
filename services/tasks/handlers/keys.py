"""What the handlers find in the application."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from services.tasks.page_store import Pages
from services.tasks.repository.answers import AnswerRepository
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.imports import ImportRepository
from services.tasks.repository.lists import TaskLists
from services.tasks.repository.tasks import TaskRepository
from services.tasks.repository.trash import TrashRepository
from services.tasks.repository.webhooks import WebhookRepository
from services.tasks.usecases.creations import Creations
from services.tasks.usecases.import_turns import ImportTurns
from services.tasks.usecases.lists import Revisions
from services.tasks.usecases.tasks import Finder
from shared.batches import Batches
from shared.database import Store
from shared.sealing import SealingKeys

ANSWERS: web.AppKey[Store[AnswerRepository]] = web.AppKey("answers", Store)
TASKS: web.AppKey[Store[TaskRepository]] = web.AppKey("tasks", Store)
LISTS: web.AppKey[Store[TaskLists]] = web.AppKey("lists", Store)
CREATIONS: web.AppKey[Creations] = web.AppKey("creations", Creations)
FINDER: web.AppKey[Finder] = web.AppKey("finder", Batches)
FEED: web.AppKey[Store[FeedRepository]] = web.AppKey("feed", Store)
IMPORTS: web.AppKey[Store[ImportRepository]] = web.AppKey("imports", Store)
IMPORT_TURNS: web.AppKey[ImportTurns] = web.AppKey("import_turns", ImportTurns)
PAGES: web.AppKey[Pages] = web.AppKey("pages", Pages)
REVISIONS: web.AppKey[Revisions] = web.AppKey("revisions", Batches)
SEALING: web.AppKey[SealingKeys] = web.AppKey("sealing", SealingKeys)
STRICT: web.AppKey[bool] = web.AppKey("strict", bool)
TRASH: web.AppKey[Store[TrashRepository]] = web.AppKey("trash", Store)
TRASH_KEPT: web.AppKey[timedelta] = web.AppKey("trash_kept", timedelta)
WEBHOOKS: web.AppKey[Store[WebhookRepository]] = web.AppKey("webhooks", Store)
