"""What words a search is for, as PostgreSQL reads it."""

from __future__ import annotations

from collections import OrderedDict

from services.tasks.catalogue.words import Query, read_query
from shared.database import Connection

# The same characters are taken out of what is searched.
SEARCHED_FOR = "websearch_to_tsquery('simple', translate({}, '/.:@_=<>&', '         '))"
_READ = f"SELECT tsquerysend({SEARCHED_FOR.format('$1')})"
_MOST = 10_000


class Searches:
    """Searches as they were read, by their text; the oldest make room."""

    def __init__(self) -> None:
        self._read: OrderedDict[str, Query | None] = OrderedDict()

    async def read(self, connection: Connection, text: str) -> Query | None:
        """What the text asks for, None when for more than that words are there or not."""
        if text not in self._read:
            self._read[text] = read_query(await connection.fetchval(_READ, text))
            if len(self._read) > _MOST:
                self._read.popitem(last=False)
        return self._read[text]
