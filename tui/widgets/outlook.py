"""What the answers in a form would undo and spend, told while they are typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textual import work
from textual.message import Message
from textual.widgets import Label
from textual.worker import get_current_worker

from core.errors import CalmtuneError
from core.wizard import recipe
from core.wizard.consequences import consequences, in_words
from core.wizard.estimate import spending
from core.wizard.recipe import STEP_IDS
from core.wizard.session import Session


class Outlook(Label):
    """`weigh` looks aside, and says it when it knows; the last question asked wins."""

    DEFAULT_CSS = "Outlook { color: $text-warning; height: auto; max-height: 6; width: 1fr; }"

    @dataclass
    class Weighed(Message):
        """`wrong` says what is wrong with the answers; "" when nothing is."""

        wrong: str

    @dataclass
    class Broke(Message):
        """Looking failed in a way nobody expected."""

        error: BaseException

    def __init__(self, id: str | None = None) -> None:
        super().__init__("", id=id, markup=False)

    @work(thread=True, exclusive=True, exit_on_error=False, group="outlook")
    def weigh(self, session: Session, step: str, given: Mapping[str, Any]) -> None:
        worker = get_current_worker()
        text = wrong = ""
        try:
            stale = in_words(consequences(session, step, given), {id: recipe.step(id).title for id in STEP_IDS})
            told = [f"{what}: {said}" for what, said in spending(session, step, given).items()]
            text = "\n".join(filter(None, (stale, *told)))
        except (CalmtuneError, OSError) as error:
            wrong = str(error)
        except Exception as error:
            if not worker.is_cancelled:
                self.post_message(self.Broke(error))
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._tell, text, wrong)

    def _tell(self, text: str, wrong: str) -> None:
        self.update(text)
        self.post_message(self.Weighed(wrong))
