"""What the demo prints."""

import io

from deploy.local.demo_screen import Screen, bar, printable


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_bar_fills_from_empty_to_full() -> None:
    assert bar(0, 2048, 0) == "[..............................]   0%  0 of 2 KiB  0 lines"
    assert bar(1024, 2048, 7).startswith("[###############...............]  50%  1 of 2 KiB")
    assert bar(0, 0, 0).startswith("[##############################] 100%")


def test_a_bar_is_one_line_in_a_file_and_moves_on_a_terminal() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        assert list(Screen(stream).progress([b"a\n", b"b\n"], 4)) == [b"a\n", b"b\n"]
    assert plain.getvalue().count("\n") == 1
    assert "\r" not in plain.getvalue()
    assert "2 lines" in plain.getvalue()
    assert terminal.getvalue().count("\r") == 3
    assert terminal.getvalue().endswith("2 lines\n")


def test_a_bar_that_is_left_early_still_ends_its_line() -> None:
    stream = io.StringIO()
    pieces = Screen(stream).progress([b"a\n", b"b\n"], 4)
    next(pieces)
    pieces.close()
    assert stream.getvalue().endswith("0 lines\n")


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    assert printable("a\x1b[2Jb\nc\u202e") == "a [2Jb c "


def test_a_table_is_as_wide_as_the_screen() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.table(["n", "title"], [[1, "x" * 500], [2, "short"]], wide=1)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) == screen.width
    assert lines[2].endswith("...")
    assert lines[3] == "    2  short"
