"""Values read from a user's words."""

from __future__ import annotations

import pytest

from core.assistant.domain import Slot
from core.assistant.lines import Lines
from core.dataset.candidates import CLEAR, Question, repeated, values
from core.dataset.language import doubt, numbers
from core.dataset.spans import spans
from core.dialogue.commands import CancelFlow, ChitChat, HumanHandoff, RepeatMessage, SearchAndReply, SkipQuestion


def question(type: str, name: str = "s", about: str = "", **options) -> Question:
    return Question(Slot(name, type, Lines("domain.yml", 1, 1), **options), about)


def clear(asked: Question, message: str) -> list[object]:
    return [found.value for found in values(asked, message, "ahead") if found.cost <= CLEAR]


@pytest.mark.parametrize(
    ("name", "message", "best"),
    [
        ("s", "Elm Road 4", "Elm Road 4"),
        ("full_name", "my name is Ada Lovelace", "Ada Lovelace"),
        ("title", 'call it "spring sale" please', "spring sale"),
        ("city", "send it to Berlin.", "Berlin"),
        ("city", "to japan", "japan"),
        ("visit_date", "could I come on the 3rd of May?", "3rd of May"),
        ("start_date", "from 2026-07-01 on", "2026-07-01"),
        ("visit_time", "last Sunday around noon", "last Sunday around noon"),
        ("visit_time", "come tonight at 8, please", "tonight at 8"),
        ("visit_date", "the day before yesterday", "the day before yesterday"),
        ("note", "a note for the team: my cat died", "my cat died"),
        ("reason", "because I sold it", "I sold it"),
        ("visit_street", "tomorrow at 12 Mill Lane", "12 Mill Lane"),
        (
            "reason",
            "the bill for June is wrong because I never called Peru",
            "the bill for June is wrong because I never called Peru",
        ),
        ("email", "oh right: ada@example.org", "ada@example.org"),
        ("order_number", "it's HX-2201, I think", "HX-2201"),
        ("reason", "my old one crashes every day", "my old one crashes every day"),
        ("street", "we live at 12 Mill Lane", "12 Mill Lane"),
        ("iban", "it is AT61 1904 3002 3457 3201.", "AT61 1904 3002 3457 3201"),
        ("iban", "GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 19"),
        ("phone_number", "my number is (0221) 123-456", "(0221) 123-456"),
        ("phone_number", "+1 (555) 123-4567 please", "+1 (555) 123-4567"),
        ("phone_number", "Tel. 0221 / 123 456", "0221 / 123 456"),
        ("start_date", "from the first of next month", "first of next month"),
        ("start_date", "at the end of May 2027 please", "end of May 2027"),
        ("start_date", "could it be Monday, 12 March?", "Monday, 12 March"),
        ("start_date", "on Friday the 13th, please", "Friday the 13th"),
        ("start_date", "make it Monday next week", "Monday next week"),
        ("start_date", "let us say a week from Monday", "a week from Monday"),
        ("start_date", "at 2026-12-01T09:00 sharp", "2026-12-01T09:00"),
        ("visit_time", "come at 8.30 am", "8.30 am"),
    ],
)
def test_the_likeliest_part_of_a_message(name, message, best):
    assert values(question("text", name), message)[0].value == best


def test_what_is_around_a_value_tells_which_slot_it_is_for():
    message = "from Berlin to Oslo on 12 June"
    assert clear(question("text", "origin", "where the flight leaves from"), message) == ["Berlin"]
    assert clear(question("text", "destination", "where it goes to"), message) == ["Oslo"]
    assert clear(question("text", "depart_date"), message) == ["12 June"]


def test_free_text_is_not_volunteered():
    assert clear(question("text", "reason"), "I would like to order a laptop") == []


def test_a_value_the_checks_name_comes_first():
    found = values(question("text"), "please collect it at Elm Road 4 tomorrow", expected=["Elm Road 4"])
    assert found[0].value == "Elm Road 4"
    assert found[0].cost == 0.0


def test_the_users_own_spelling_comes_before_that_of_the_checks():
    found = values(question("text", "email"), "it is Ana@Mail.pt", expected=["ana@mail.pt"])
    assert [candidate.value for candidate in found[:2]] == ["Ana@Mail.pt", "ana@mail.pt"]


def test_a_request_is_no_value():
    thing = question("text", "thing", "what was lost")
    found = [candidate.value for candidate in values(thing, "wait, first I want to report a lost umbrella")]
    assert "report a lost umbrella" not in found
    assert {"wait", "first"}.isdisjoint(found)


def test_what_the_bot_repeats_later_is_the_value():
    (found,) = repeated("please send it to my aunt Rosa tonight", ["I told aunt Rosa."])
    assert found.value == "aunt Rosa"


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ("yes please", True), ("nope", False), ("sure, go ahead", True), ("I don't think so", False), ("no thanks", False),
        ("はい、お願いします", True), ("いいえ", False), ("نعم", True), ("لا شكرا", False), ("Stimmt", True), ("nee", False),
        ("too expensive, sorry", False), ("no problem", True), ("let me think about it", False), ("I'll take it", True),
    ],
)  # fmt: skip
def test_yes_and_no(message, value):
    first, second = values(question("bool"), message)
    assert first.value is value
    assert first.cost < second.cost


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ("the screen does not work, and yes, I restarted the box", True),
        ("it's not the cable. I have not restarted it but yes, it's plugged in", False),
        ("no, please tell me how to restart it", False),
    ],
)
def test_the_part_that_speaks_of_the_slot_answers_its_question(message, value):
    restarted = question("bool", "restarted_box", "whether the box was restarted")
    assert values(restarted, message)[0].value is value


def test_yes_or_no_is_open_when_the_words_do_not_say():
    first, second = values(question("bool"), "hmm")
    assert first.cost == second.cost


def test_yes_is_volunteered_by_the_name_of_the_slot():
    breakfast = question("bool", "breakfast")
    assert clear(breakfast, "three nights with breakfast") == [True]
    assert clear(breakfast, "three nights without breakfast") == [False]
    assert clear(breakfast, "yes, three nights") == []


@pytest.mark.parametrize(
    ("message", "value"), [("a Window seat", "window"), ("something on the aisle, thanks", "aisle"), ("ailse", "aisle")]
)
def test_categories_are_found_in_the_words(message, value):
    seat = question("categorical", values=("window", "aisle", "no preference"))
    assert values(seat, message)[0].value == value


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("2,500 for two people, 3.5 stars", [2500.0, 3.5, 2.0]),
        ("forty five", [45.0]),
        ("two hundred and fifty", [250.0]),
        ("1,250.50 or 12,5", [1250.5, 12.5]),
        ("20k", [20000.0]),
        ("on the 31st, then the fifteenth", [31.0, 15.0]),
        ("-5 degrees", [-5.0]),
        ("P1234", []),
        ("1.249,99 or 10.000.000", [1249.99, 10_000_000.0]),
        ("1 250 euros, not 1'200.50", [1250.0, 1200.5]),
        ("1.5 million, 2 hundred or a million", [1_500_000.0, 200.0, 1_000_000.0]),
        ("two and a half or 1 and a half", [1.5, 2.5]),
    ],
)
def test_numbers_in_digits_and_words(message, found):
    assert numbers(message) == found


def test_a_number_goes_to_the_slot_named_beside_it():
    value, age = question("float", "car_value"), question("float", "driver_age")
    message = "a car worth 20000 for a driver of 35"
    assert values(value, message)[0].value == 20000
    assert values(age, message)[0].value == 35


def test_a_number_of_a_date_is_no_amount():
    found = values(question("float", "amount"), "300 euros on 12 June")
    assert [one.value for one in found if one.cost <= CLEAR] == [300]


def test_the_day_and_the_hour_may_go_to_two_slots():
    found = [candidate.value for candidate in values(question("text", "visit_day"), "any doctor on Monday at 11:30")]
    assert found[:3] == ["Monday at 11:30", "Monday", "11:30"]
    found = [candidate.value for candidate in values(question("text", "city"), "to Hull, at noon on Friday")]
    assert "Friday" not in found[:3]


def test_an_address_goes_with_its_town_and_postcode():
    found = values(question("text", "mail_address"), "Elm Road 4, 12345 Hull")
    assert [candidate.value for candidate in found][:2] == ["Elm Road 4, 12345 Hull", "Elm Road 4"]
    assert found[0].cost < found[1].cost


def test_parts_of_a_date_are_no_names():
    assert [span.text for span in spans("see you on 3 March in Leeds") if span.kind == "name"] == ["Leeds"]


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ("actually, leave it", CancelFlow), ("never mind", CancelFlow), ("I'd rather not say", SkipQuestion),
        ("could you say that again?", RepeatMessage), ("let me talk to a real person", HumanHandoff),
        ("how are you today?", ChitChat), ("when do your shops open?", SearchAndReply),
    ],
)  # fmt: skip
def test_wordings_suggest_commands(message, command):
    doubts = {kind: doubt(kind, message) for kind in (CancelFlow, SkipQuestion, RepeatMessage, HumanHandoff)}
    doubts |= {kind: doubt(kind, message) for kind in (ChitChat, SearchAndReply)}
    assert min(doubts, key=lambda kind: doubts[kind]) is command, doubts
