"""A step at work beside the screen: what it reports, how it ended, and the ways to end it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from core.errors import Interrupted
from core.wizard.events import Progress, StepEvent
from core.wizard.jobs import KEEP, LEAVE
from core.wizard.session import Session

STOP = "stop"
_SECONDS_TO_LET_GO = 3.0


class RunningStep:
    """One run of a step, in a thread with an event loop of its own, so that the screen stays alive."""

    def __init__(self, session: Session, step: str, ended: Callable[[RunningStep], object]) -> None:
        """`ended` is called once from that thread, when `error` is known."""
        self.step = step
        self.error: BaseException | None = None
        """What went wrong; None while it runs and when nothing did."""
        self.progress: Progress | None = None
        """The last it told."""
        self._session, self._ended = session, ended
        self._events: deque[StepEvent] = deque()
        self._asked: str | None = None
        self._cancel: Callable[[str], object] | None = None
        self._thread = threading.Thread(target=self._work, name=f"step-{step}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take_events(self, most: int) -> list[StepEvent]:
        """What it reported since the last time, at most so much of it."""
        return [self._events.popleft() for _ in range(min(most, len(self._events)))]

    def stop(self) -> None:
        """End it and its job."""
        self._end(STOP)

    def keep(self) -> None:
        """Let its job end where it is, with what it has; the step goes on with that."""
        self._end(KEEP)

    def leave(self) -> None:
        """Let go of it; a job that runs goes on without this process."""
        self._end(LEAVE)
        if self._thread.is_alive():
            self._thread.join(_SECONDS_TO_LET_GO)

    def _end(self, how: str) -> None:
        self._asked = how
        if self._cancel is not None:
            self._cancel(how)

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            self.error = Interrupted("stopped")
        except Exception as error:  # whatever it is, the app tells it and lives on
            self.error = error
        self._ended(self)

    async def _run(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def cancel(how: str) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel, how)

        self._cancel = cancel
        if self._asked is not None:
            raise asyncio.CancelledError(self._asked)
        from core.wizard.run import run_step  # with what watching rented machines loads

        await run_step(self._session, self.step, lambda _, event: self._hear(event))

    def _hear(self, event: StepEvent) -> None:
        if isinstance(event, Progress):
            self.progress = event
        self._events.append(event)
