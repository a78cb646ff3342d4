"""Seven steps that do next to nothing, for tests of sessions. Run as a program, it plays a session headless."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.errors import StepFailed
from core.wizard.step import Context, Gate, Outputs

RAN: list[str] = []
"""Ids of the steps that ran in this process."""
ABOVE = {
    "coverage": (),
    "dataset": ("coverage",),
    "training": ("dataset",),
    "evaluation": ("dataset", "training"),
    "production": ("dataset", "training", "evaluation"),
    "deployment": ("production",),
    "connection": ("dataset", "deployment"),
}


class FakeAnswers(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: int = Field(1, title="Amount", description="Any number; a negative one fails the gate.")
    note: str = Field("", title="Note", description="Part of the key, without influence on the outcome.")
    colour: str = Field("red", title="Colour", description="Cosmetic.", json_schema_extra={"cosmetic": True})


class FakeStep:
    version = 1
    purpose = "Do next to nothing."
    shared: tuple[str, ...] = ()
    answers = FakeAnswers

    def __init__(self, id: str, log: Path | None = None) -> None:
        self.id, self.title, self.upstream, self._log = id, id.title(), ABOVE[id], log

    def reads(self, shared: Any, answers: Any) -> Sequence[Path]:
        return (shared.assistant,) if self.id == "coverage" else ()

    async def run(self, context: Context) -> Outputs:
        amount = context.answers.amount
        if amount == 13:
            raise StepFailed("thirteen is an unlucky amount")
        RAN.append(self.id)
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(f"{self.id}\n")
            await self._job(context)
        (context.folder / "out.txt").write_text(
            f"{self.id} {amount} {[u.outputs.digest for u in context.upstream.values()]}"
        )
        return Outputs({"amount": amount}, {"out": "out.txt"}, [Gate("positive", "≥ 0", str(amount), amount >= 0)])

    async def _job(self, context: Context) -> None:
        """A job that leaves a line each time it is really launched."""
        from provisioning.job import Job

        line = f"open({str(self._log)!r}, 'a').write('job {self.id}\\n')"
        await context.jobs.run(Job("work", (sys.executable, "-c", line)), lambda event: None)


def install(monkeypatch: Any = None, log: Path | None = None) -> None:
    """Put the fake steps in the place of the real ones."""
    import core.wizard.answers
    import core.wizard.estimate
    import core.wizard.recipe
    import core.wizard.run
    import core.wizard.session

    steps = {id: FakeStep(id, log) for id in ABOVE}
    for module in (core.wizard.recipe, core.wizard.session, core.wizard.run, core.wizard.answers, core.wizard.estimate):
        if monkeypatch is not None:
            monkeypatch.setattr(module, "step", steps.__getitem__)
        else:
            module.step = steps.__getitem__  # type: ignore[attr-defined]
    core.wizard.answers.file_model.cache_clear()


def main(home: Path, log: Path) -> None:
    """Create or resume the session "one" and run it to its end."""
    from core.wizard.run import run_recipe
    from core.wizard.session import Session

    install(log=log)
    exists = (home / "one" / "session.db").exists()
    session = Session.open(home / "one") if exists else Session.create(home, "one")
    if not session.answers.get("session"):
        (log.parent / "bot").mkdir(exist_ok=True)
        session.answer("session", {"assistant": str(log.parent / "bot")})
    asyncio.run(run_recipe(session, lambda step, event: None))
    print(*(f"{status.step} {status.state} {status.outputs.digest}" for status in session.statuses()), sep="\n")
    session.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
