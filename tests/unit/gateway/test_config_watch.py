"""The watch over the configuration file: what it must not take, then what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from services.gateway import reload
from services.gateway.reload import Reloader
from shared.process import background

LOOK_SECONDS = 0.005


class Counted(Reloader):
    """A reloader that only says that it was asked."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[None] = asyncio.Queue()

    def reload(self) -> bool:
        self.asked.put_nowait(None)
        return True


class Looks:
    """Counts how often the file was read, so that a test need not guess."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        self._read = reload._content
        monkeypatch.setattr(reload, "_content", self._counted)

    def _counted(self, path: Path) -> bytes | None:
        found = self._read(path)
        self._count += 1
        return found

    async def two_more(self) -> None:
        wanted = self._count + 2
        while self._count < wanted:  # noqa: ASYNC110 - a thread counts
            await asyncio.sleep(LOOK_SECONDS)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@asynccontextmanager
async def watching(path: Path, looks: Looks) -> AsyncIterator[Counted]:
    reloader = Counted()
    async with background(partial(reloader.watch, path, LOOK_SECONDS)):
        await looks.two_more()
        yield reloader


async def test_a_file_that_goes_away_is_no_change(tmp_path: Path, looks: Looks) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("a = 1")
    async with watching(path, looks) as reloader:
        path.unlink()
        await looks.two_more()
        path.write_text("a = 1")
        await looks.two_more()
        assert reloader.asked.empty()
        path.write_text("a = 2")
        await asyncio.wait_for(reloader.asked.get(), 10)
        assert reloader.asked.empty()


async def test_a_config_map_is_swapped_by_its_link(tmp_path: Path, looks: Looks) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "gateway.toml").write_text(f"a = {version}")
    (tmp_path / "data").symlink_to("1")
    path = tmp_path / "gateway.toml"
    path.symlink_to("data/gateway.toml")
    async with watching(path, looks) as reloader:
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").replace(tmp_path / "data")
        await asyncio.wait_for(reloader.asked.get(), 10)
