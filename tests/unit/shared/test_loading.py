"""How a program loads its modules."""

import gc

import pytest

from shared.loading import uncollected


def test_nothing_is_collected_while_it_loads_and_what_was_loaded_never() -> None:
    before = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_what_cannot_be_loaded_leaves_the_collector_on() -> None:
    with pytest.raises(ModuleNotFoundError), uncollected():
        import services.nowhere  # type: ignore[import-not-found] # noqa: F401, PLC0415
    assert gc.isenabled()
