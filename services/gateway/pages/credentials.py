"""How a browser may prove at the door who its user is, in OpenAPI's words.

Operations name them in `x-credentials` (shared/openapi.py says why not among the requirements).
"""

from __future__ import annotations

from typing import Any

from shared.cookies import Cookies
from shared.csrf import CSRF_HEADER

SESSION = "sessionCookie"
CSRF = "csrfToken"


def schemes(cookies: Cookies) -> dict[str, Any]:
    """The Security Scheme Objects of a session by cookie."""
    return {
        SESSION: {
            "type": "apiKey",
            "in": "cookie",
            "name": cookies.session,
            "description": (
                "In place of the bearer token, for browsers: set by POST /auth/session-login. "
                "What changes anything needs the CSRF token besides."
            ),
        },
        CSRF: {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "Given at the login and by GET /auth/csrf; only with the cookie.",
        },
    }
