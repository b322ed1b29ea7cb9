import io
import os
import pty
import time

import pytest

from toolchain.console import Console


def test_without_a_terminal_a_step_says_when_it_begins_goes_on_and_ends() -> None:
    stream = io.StringIO()
    with Console(stream, heartbeat=0.05).step("Building", usual="5 minutes"):
        time.sleep(0.2)
    first, *between, last = stream.getvalue().splitlines()
    assert first == "Building (5 minutes) ..."
    assert between, "a log that stands still for minutes looks like a hang"
    assert all(line.startswith("Building: still going, ") for line in between)
    assert last.startswith("Building: done, ")
    assert "\x1b" not in stream.getvalue(), "control characters in a log file"


def test_a_failed_step_does_not_end_as_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Console(stream).step("Building"):
        raise ValueError("no")
    assert "Building: failed, " in stream.getvalue()
    assert "done" not in stream.getvalue()


def test_on_a_terminal_one_line_is_redrawn() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        with Console(terminal).step("Building"):
            time.sleep(0.35)
        seen = ""
        while "done" not in seen:
            seen += os.read(ours, 65536).decode()
    os.close(ours)
    assert seen.count("\r\x1b[2K") >= 3, "the elapsed time does not move"
    assert seen.count("\n") == 1, "the spinner scrolls"
    assert "Building: done, " in seen.splitlines()[-1]
