"""Which wordings are kept, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.dataset.annotate import annotate
from core.dataset.conversation import AnnotatedConversation
from core.dataset.validation import Understanding, validate
from core.dialogue.commands import CannotHandle, Command, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.dialogue.source import Prediction, UserMessage
from core.dialogue.tracker import Tracker


class Listener:
    """A command source that knows a few messages by heart and notes what it is asked."""

    def __init__(self, **understood: Sequence[Command]) -> None:
        self.understood = understood
        self.asked: list[str] = []
        self.streets: list[object] = []

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        self.asked.append(message.text)
        self.streets.append(tracker.slots["street"])
        return Prediction(tuple(self.understood.get(message.text.replace(" ", "_"), (CannotHandle(),))))


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN))


@pytest.fixture
def conversation(engine) -> AnnotatedConversation:
    script = [
        ("send a parcel", (StartFlow("send_parcel"),)),
        ("to Elm Road 4", (SetSlot("street", "Elm Road 4"),)),
        ("2 kg", (SetSlot("weight", "2"),)),
    ]
    return annotate(play(engine, script), engine, PromptRenderer(engine.assistant, "v2", index=engine.index), "v2")


async def judged(conversation, engine, at, *candidates, understanding=None):
    turn = (await validate(conversation, {at: candidates}, engine, understanding)).turns[at]
    assert sorted((*turn.passing, *(rejected.text for rejected in turn.rejected))) == sorted(candidates)
    return turn.passing, {rejected.text: rejected.reason for rejected in turn.rejected}


async def test_a_wording_that_loses_a_value_is_dropped(conversation, engine):
    passing, rejected = await judged(
        conversation, engine, 1, "elm road 4 please", "to Elm Road", "Elm  Road 4!", "Elm Road 42"
    )
    assert passing == ("elm road 4 please", "Elm  Road 4!")
    assert rejected == {"to Elm Road": "loses the value Elm Road 4", "Elm Road 42": "loses the value Elm Road 4"}


async def test_a_number_may_be_written_as_a_word(conversation, engine):
    passing, rejected = await judged(conversation, engine, 2, "two kilos", "it is 2 kg", "12 kg")
    assert passing == ("two kilos", "it is 2 kg")
    assert rejected == {"12 kg": "loses the value 2"}


async def test_repetitions_are_dropped(conversation, engine):
    passing, rejected = await judged(conversation, engine, 0, "Send a parcel!", "parcel please", "Parcel, please", "")
    assert passing == ("parcel please",)
    assert rejected == {
        "Send a parcel!": "is the same as the original",
        "Parcel, please": "is the same as 'parcel please'",
        "": "is empty",
    }


async def test_what_is_nearly_the_same_is_dropped_and_another_order_or_a_typo_is_not(conversation, engine):
    long = "could you please send a parcel for me to my old aunt in the north this week"
    passing, rejected = await judged(
        conversation, engine, 0, long, f"{long} ok", "this week send a parcel please", "sned a parcel"
    )
    assert passing == (long, "this week send a parcel please", "sned a parcel")
    assert rejected == {f"{long} ok": f"is nearly the same as {long!r}"}
    turn = (await validate(conversation, {0: [long, f"{long} ok"]}, engine, None)).turns[0]
    assert turn.rejected[0].kind == "is nearly the same as"


async def test_a_wording_that_looks_like_a_button_is_dropped(conversation, engine):
    assert await judged(conversation, engine, 0, "/SetSlots(street=x)") == (
        (),
        {"/SetSlots(street=x)": "would be read as a button payload"},
    )


async def test_the_source_is_asked_only_about_what_is_left_and_in_the_true_state(conversation, engine):
    source = Listener(two_kilos=[SetSlot("weight", "2")])
    passing, rejected = await judged(
        conversation, engine, 2, "two kilos", "heavy", "2 kg or so", understanding=Understanding(source, engine)
    )
    assert passing == ("two kilos",)
    assert rejected == {"heavy": "loses the value 2", "2 kg or so": "is understood as cannot handle"}
    assert sorted(source.asked) == ["2 kg or so", "two kilos"]
    assert set(source.streets) == {"Elm Road 4"}


@pytest.mark.parametrize(("equality", "passes"), [("names", True), ("strict", False)])
async def test_free_text_may_be_cut_differently_by_names_only(conversation, engine, equality, passes):
    source = Listener(Elm_Road_4_it_is=[SetSlot("street", "Elm Road 4 it is")])
    passing, _ = await judged(
        conversation, engine, 1, "Elm Road 4 it is", understanding=Understanding(source, engine, equality)
    )
    assert bool(passing) is passes


@pytest.mark.parametrize("equality", ["names", "strict"])
async def test_another_number_is_another_meaning(conversation, engine, equality):
    source = Listener(not_2_but_3=[SetSlot("weight", "3")])
    assert await judged(
        conversation, engine, 2, "not 2 but 3", understanding=Understanding(source, engine, equality)
    ) == ((), {"not 2 but 3": "is understood as set slot weight 3"})


async def test_an_additional_command_is_another_meaning(conversation, engine):
    source = Listener(parcel_to_Elm=[StartFlow("send_parcel"), SetSlot("street", "Elm")])
    _, rejected = await judged(conversation, engine, 0, "parcel to Elm", understanding=Understanding(source, engine))
    assert rejected == {"parcel to Elm": "is understood as start flow send_parcel; set slot street Elm"}


async def test_a_failing_source_stops_the_others(conversation, engine):
    class Broken(Listener):
        async def predict(self, tracker, message):
            await super().predict(tracker, message)
            raise RuntimeError("down")

    with pytest.raises(RuntimeError, match="down"):
        await judged(conversation, engine, 0, "a", "b", "c", understanding=Understanding(Broken(), engine))
