"""A conversation with the tuned model: what was said, the commands behind it, how long they took."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, Static

from core.errors import CalmtuneError
from core.wizard.chat import Chat, Reply, chat_with
from core.wizard.session import Session
from tui.mishap import mishap_of
from tui.safe_text import one_line, safe
from tui.widgets.error_card import ErrorCard
from tui.widgets.top_bar import TopBar


class ChatScreen(Screen[None]):
    """Begins with the assistant's greeting; ends with the screen, and with it a server that was started for it."""

    CSS_PATH = "chat.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "#message"
    BINDINGS = [
        Binding("ctrl+n", "begin_again", "New conversation", tooltip="Forget what was said and begin again", id="new-conversation"),
        Binding("ctrl+t", "toggle_commands", "Commands", tooltip="Show or hide the commands behind each message", id="show-commands"),
        Binding("escape", "leave", "Back", tooltip="Back to the step", id="leave-chat"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield VerticalScroll(id="conversation")
        yield ErrorCard()
        with Horizontal(id="entry"):
            yield Input(placeholder="the model is being looked for …", id="message", compact=True, disabled=True)
            yield Button("Send", variant="primary", id="send", compact=True)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(TopBar).where = f"{self.session.id} · conversation with the tuned model"
        self._converse()

    @work(exit_on_error=False, group="chat")
    async def _converse(self) -> None:
        """Answers what is sent for as long as the screen is there."""
        try:
            async with chat_with(self.session, self._say_from_anywhere) as chat:
                self._show(None, await chat.begin())
                self._ready(True)
                while True:
                    await self._answer(chat, await self._messages.get())
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the screen tells it, whatever it is
            self._fail(error)

    async def _answer(self, chat: Chat, text: str | None) -> None:
        self._ready(False)
        self.query_one(ErrorCard).mishap = None
        try:
            if text is None:
                await self.query_one("#conversation").remove_children()
                self._show(None, await chat.begin())
            else:
                self._show(text, await chat.say(text))
        except CalmtuneError as error:
            self._fail(error)
            self.query_one("#message", Input).value = text or ""
        self._ready(True)

    def _fail(self, error: BaseException) -> None:
        self.query_one(ErrorCard).mishap = mishap_of(error, "No answer", self.session, "deployment")

    def _say_from_anywhere(self, line: str) -> None:
        """The server's start is told from threads."""
        self.app.call_later(self._say, line)

    def _say(self, line: str) -> None:
        self.query_one(TopBar).state = one_line(line, 60)

    def _ready(self, ready: bool) -> None:
        entry = self.query_one("#message", Input)
        entry.disabled = not ready
        entry.placeholder = "say something; Enter sends it" if ready else "…"
        if ready:
            entry.focus()

    def _show(self, text: str | None, reply: Reply) -> None:
        conversation = self.query_one("#conversation", VerticalScroll)
        parts = []
        if text is not None:
            parts.append(Static(Content(safe(text)), classes="user"))
            parts.append(Static(behind(reply), classes="commands"))
        parts += [Static(Content(safe(said)), classes="bot") for said in reply.said]
        if text is not None and not reply.said:
            parts.append(Static(Content.styled("(the assistant said nothing)", "$muted"), classes="bot"))
        if reply.choices:
            parts.append(Static(Content.styled(one_line(" · ".join(reply.choices)), "$text-primary"), classes="bot"))
        conversation.mount(*parts)
        conversation.scroll_end(animate=False)

    @on(Input.Submitted, "#message")
    @on(Button.Pressed, "#send")
    def _send(self) -> None:
        entry = self.query_one("#message", Input)
        if entry.disabled or not entry.value.strip():
            return
        self._messages.put_nowait(entry.value.strip())
        entry.value = ""

    async def action_leave(self) -> None:
        """Back once a server that was started for the conversation has been told to end."""
        self._say("ending …")
        ending = self.workers.cancel_group(self, "chat")
        await asyncio.gather(*(worker.wait() for worker in ending), return_exceptions=True)
        self.dismiss()

    def action_begin_again(self) -> None:
        if not self.query_one("#message", Input).disabled:
            self._messages.put_nowait(None)

    def action_toggle_commands(self) -> None:
        self.query_one("#conversation").toggle_class("quiet")


def behind(reply: Reply) -> Content:
    """What the model wrote for a message, what came of it, how long it took."""
    lines = [Content.styled(line, "$text-accent") for line in safe(reply.commands or "(no commands)", 1000).splitlines()]
    lines += [Content.styled(f"  {one_line(effect)}", "$muted") for effect in reply.effects]
    took = Content.styled(f"   {1000 * reply.seconds:.0f} ms", "$faint") if reply.seconds else Content("")
    return Content("\n").join([lines[0] + took, *lines[1:]])
