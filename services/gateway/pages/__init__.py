"""The gateway's own pages: what it answers itself, as one table."""

from __future__ import annotations

from services.gateway.clients import Clients
from services.gateway.config import Access
from services.gateway.exchange import Exchange
from services.gateway.limits.stage import LimitStage
from services.gateway.pages.catalogue import catalogue
from services.gateway.pages.docs import index, static_pages
from services.gateway.pages.health import HealthPage
from services.gateway.pages.lifecycle import versions
from services.gateway.pages.openapi import OpenApiPage
from services.gateway.pages.page import Page
from services.gateway.pages.sources import Sources
from services.gateway.pages.status import RateLimitStatus
from shared.cookies import Cookies

_OPENAPI = "/openapi.json"

__all__ = ["Page", "Pages"]


class Pages:
    """Finds the page of a path. Every page answers GET and HEAD."""

    def __init__(
        self, sources: Sources, limits: LimitStage, clients: Clients, cookies: Cookies
    ) -> None:
        table = [
            # Probes and the status itself must not use up what they report on.
            Page("/health", HealthPage(sources), limited=False),
            Page(
                "/api/rate-limit-status",
                RateLimitStatus(limits, clients),
                access=Access.OPTIONAL,
                limited=False,
            ),
            Page("/api/versions", versions),
            Page("/api/errors", catalogue),
            Page("/", index, limited=False),
            *static_pages(),
        ]
        self._pages = {page.template: page for page in table}
        self._openapi = Page("/api/{version}/openapi.json", OpenApiPage(sources, cookies))

    def find(self, exchange: Exchange) -> Page | None:
        """The page at the request's path, or None where a route has to be looked for."""
        path = exchange.path
        page = self._pages.get(path)
        if page is None and exchange.service_path == _OPENAPI and path != _OPENAPI:
            page = self._openapi
        if page is not None:
            exchange.template = page.template
        return page
