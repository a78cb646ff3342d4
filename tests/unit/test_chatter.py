"""What a library prints is taken out of its own thread's output only."""

from __future__ import annotations

import contextlib
import sys
import threading

from provisioning.chatter import Lines, quiet


def test_whole_lines_without_colours_and_progress_bars():
    said: list[str] = []
    stream = Lines(said.append)
    for text in ("\x1b[1mone\x1b[0m\nt", "wo", "\n50 %\r100 %\r\n\nrest"):
        stream.write(text)
    assert said == ["one", "two", "50 %", "100 %"]


def test_what_is_said_may_itself_be_printed(capsys):
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:  # as a front that writes each event as a line
            print(f"told: {line}")

    with quiet(say):
        print("renting")
        print("rented")
    print("after")
    assert capsys.readouterr().out == "told: renting\ntold: rented\nafter\n"


def test_other_threads_go_on_printing(capsys):
    said: list[str] = []
    other = threading.Thread(target=lambda: print("an event"))
    with quiet(said.append):
        print("renting")
        other.start()
        other.join()
    assert said == ["renting"]
    assert capsys.readouterr().out == "an event\n"


def test_two_threads_that_end_in_any_order_leave_the_output_as_it_was(capsys):
    said: list[str] = []
    before = sys.stdout
    inside, leave = threading.Event(), threading.Event()

    def rent() -> None:
        with quiet(said.append):
            print("first")
            inside.set()
            leave.wait(10)

    first = threading.Thread(target=rent)
    first.start()
    inside.wait(10)
    with quiet(said.append):
        print("second")
        leave.set()
        first.join()
        print("second again")
    print("free")
    assert said == ["first", "second", "second again"]
    assert capsys.readouterr().out == "free\n"
    assert sys.stdout is before


def test_an_error_on_the_way_leaves_the_output_as_it_was(capsys):
    before = sys.stdout
    with contextlib.suppress(ZeroDivisionError), quiet(lambda line: None):
        print("lost")
        print(1 / 0)
    assert sys.stdout is before
    assert capsys.readouterr().out == ""
