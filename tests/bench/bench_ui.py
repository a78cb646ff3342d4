"""Speed of the terminal: `python tests/bench/bench_ui.py [RUNS]`, medians of so many runs (5) beside what is asked.

Each figure is what the clock says, with processor time behind it: where the two differ much, the machine was busy with something else and
the figure says little. Commands and the first paint are processes of their own, from their start. A frame of the chart is all that drawing
it takes, at 100 × 30 cells with one more point each time; textual-plotext and textual-plot draw the same points when they are installed.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from rigs.finished import CONNECTION, finish, finish_all  # noqa: E402
from textual.app import App  # noqa: E402

from core.collector import collect_rarely  # noqa: E402
from core.wizard.events import Log, Metric, Progress, StepEvent  # noqa: E402
from core.wizard.recipe import STEP_IDS  # noqa: E402
from core.wizard.session import Session  # noqa: E402
from tui.app import CalmtuneApp, stay_responsive  # noqa: E402
from tui.running import RunningStep  # noqa: E402
from tui.screens.walk import WalkScreen  # noqa: E402
from tui.widgets.log_lines import Search  # noqa: E402
from tui.widgets.log_panel import LogPanel  # noqa: E402
from tui.widgets.loss_chart import LossChart  # noqa: E402
from tui.widgets.run_panel import RunPanel  # noqa: E402

STEPS = {"ready": STEP_IDS, "done": ("training", "evaluation")}
"""Steps whose forms or results are shown; other results need what real steps leave."""
PARCELS = ROOT / "tests" / "assistants" / "parcels"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As an owner's: what Python compiles at the first run is there at the next."""
ENVIRONMENT |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
FIRST_PAINT = """
import sys
from pathlib import Path
from core.collector import collect_rarely

collect_rarely()
import tui.app
from tui.app import CalmtuneApp, stay_responsive
from tui.screens.walk import WalkScreen

class Timed(CalmtuneApp):
    CSS_PATH = Path(tui.app.__file__).with_name("narrow.tcss")

    def _display(self, screen, renderable):
        super()._display(screen, renderable)
        if isinstance(screen, WalkScreen) and screen.query("#panel > *"):
            sys.__stdout__.write("painted\\n")
            sys.__stdout__.flush()
            self.exit()

app = Timed(Path(sys.argv[1]), "ready")
stay_responsive()
app.run(headless=True, size=(120, 36))
"""
Spent = tuple[float, float]
"""Seconds by the clock, and of the processor."""


def row(what: str, spent: Sequence[Spent], asked: float | None, unit: str = "s") -> None:
    times = 1000 if unit == "ms" else 1
    clock, processor = (statistics.median(side) for side in zip(*spent, strict=True))
    bound = "" if asked is None else f"≤ {asked * times:g} {unit}   {'ok' if clock <= asked else 'MISSED'}"
    print(f"{what:<46} {clock * times:>8.3g} {unit:<3} {processor * times:>8.3g} {bound}", flush=True)


@contextmanager
def measured(spent: list[Spent], who: int = resource.RUSAGE_SELF) -> Iterator[None]:
    """Append what a block takes; of the children it waits for with RUSAGE_CHILDREN."""
    clock, before = time.perf_counter(), resource.getrusage(who)
    yield
    after = resource.getrusage(who)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spent.append((time.perf_counter() - clock, processor))


def timed(do: Callable[[], object], runs: int = 1) -> list[Spent]:
    spent: list[Spent] = []
    for _ in range(runs):
        with measured(spent):
            do()
    return spent


def make_sessions(home: Path) -> None:
    """One where all is done, and the newer one where nothing is."""
    for name in ("done", "ready"):
        session = Session.create(home, name)
        session.answer("session", {"assistant": str(PARCELS)})
        if name == "done":
            finish_all(session)
            session.forget(session.status("connection"))
            finish(session, "connection", CONNECTION, (), {"diff": "changes.diff"}, {"changes.diff": ["+ model: tuned"]})
        session.close()


def commands(home: Path, runs: int) -> None:
    painted = home.parent / "paint.py"
    painted.write_text(FIRST_PAINT, encoding="utf-8")
    environment = {**ENVIRONMENT, "CALMTUNE_HOME": str(home.parent)}
    told = (("python -c pass", ["-c", "pass"], None), ("calmtune --help", ["-m", "tui.cli", "--help"], 0.25),
            ("calmtune status done", ["-m", "tui.cli", "status", "done"], 0.5),
            ("the app, and out of it again", [str(painted), str(home)], None))  # fmt: skip
    for what, arguments, asked in told:
        spent: list[Spent] = []
        for _ in range(1 + runs):
            with measured(spent, resource.RUSAGE_CHILDREN):
                done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
            if done.returncode:
                raise SystemExit(f"{what}: {done.stderr.decode()[-2000:]}")
        row(what, spent, asked)
    seconds: list[Spent] = []
    for _ in range(runs):
        began = time.perf_counter()
        with subprocess.Popen([sys.executable, str(painted), str(home)], env=environment, stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout is not None
            if app.stdout.readline() != "painted\n":
                raise SystemExit("the app painted nothing")
            seconds.append((time.perf_counter() - began, math.nan))
    row("the app's first paint", seconds, 0.8)


async def screens(home: Path, runs: int) -> None:
    """From the key that asks for a step to the drawn screen, forms and results."""
    for name in ("ready", "done"):
        app = CalmtuneApp(home, name)
        async with app.run_test(size=(120, 36)) as pilot:
            while not isinstance(app.screen, WalkScreen) or not app.screen.query("#panel > *"):
                await pilot.pause(0.05)
            await pilot.pause(0.5)
            walk, spent = app.screen, {step: list[Spent]() for step in STEPS[name]}
            assert isinstance(walk, WalkScreen)
            for _ in range(runs):
                for step in STEPS[name]:
                    drawn = asyncio.Event()
                    with measured(spent[step]):
                        await walk._show(step)
                        walk.call_after_refresh(drawn.set)
                        await drawn.wait()
                    await pilot.pause(0.2)
        kind = "result" if name == "done" else "form"
        for step, seconds in spent.items():
            row(f"{kind} of {step}", seconds, 0.3, "ms")


def points_of(count: int) -> list[tuple[int, dict[str, float]]]:
    draw, found = random.Random(1), []
    for step in range(1, count + 1):
        level = 3 * math.exp(-4 * step / count) + 0.3
        values = {"loss": level * (0.85 + 0.3 * draw.random())}
        found.append((step, values | ({"eval_loss": level + 0.1} if step % max(1, count // 20) == 0 else {})))
    return found


async def chart(runs: int) -> None:
    class Host(App[None]):
        def compose(self):  # type: ignore[no-untyped-def]
            yield LossChart()

    for count in (200, 1000, 10_000, 100_000):
        app = Host()
        async with app.run_test(size=(100, 30)) as pilot:
            widget = app.query_one(LossChart)
            for step, values in points_of(count):
                widget.add(step, values)
            await pilot.pause()

            def frame(widget: LossChart = widget) -> None:
                widget.add(widget.whole[1] + 1, {"loss": 0.3})
                for y in range(widget.size.height):
                    widget.render_line(y)

            row(f"chart, a frame of {count:,} points", timed(frame, 4 * runs), 0.01 if count <= 10_000 else None, "ms")
    for name, peer in (("textual-plotext", plotext_frame), ("textual-plot", plot_frame)):
        for count in (200, 1000, 10_000, 100_000):
            try:
                row(f"{name}, a frame of {count:,} points", await peer(count, runs), None, "ms")
            except ImportError:
                print(f"{name} is not installed")
                break


async def plotext_frame(count: int, runs: int) -> list[Spent]:
    from textual_plotext import PlotextPlot

    points, class_ = points_of(count), PlotextPlot

    class Host(App[None]):
        def compose(self):  # type: ignore[no-untyped-def]
            yield class_()

    app = Host()
    async with app.run_test(size=(100, 30)) as pilot:
        widget = app.query_one(PlotextPlot)
        await pilot.pause()

        def frame() -> None:
            widget.plt.clear_data()
            widget.plt.plot([step for step, _ in points], [values["loss"] for _, values in points])
            widget.render()

        return timed(frame, runs)


async def plot_frame(count: int, runs: int) -> list[Spent]:
    from textual_plot import PlotWidget

    points = points_of(count)

    class Host(App[None]):
        def compose(self):  # type: ignore[no-untyped-def]
            yield PlotWidget()

    app = Host()
    async with app.run_test(size=(100, 30)) as pilot:
        widget = app.query_one(PlotWidget)
        steps, losses = [float(step) for step, _ in points], [values["loss"] for _, values in points]
        widget.plot(steps, losses)
        await pilot.pause(0.3)

        def frame() -> None:
            widget.clear()
            widget.plot(steps, losses)
            widget._render_plot()

        return timed(frame, runs)


async def log(runs: int) -> None:
    class Host(App[None]):
        def compose(self):  # type: ignore[no-untyped-def]
            yield LogPanel()

    lines = [f"step {number}: loss {1 / (number + 1):.4f}, some words as a program would log them" for number in range(1_000_000)]
    spent: list[Spent] = []
    for _ in range(runs):
        app = Host()
        async with app.run_test(size=(100, 30)) as pilot:
            with measured(spent):
                app.query_one(LogPanel).add(lines[:10_000])
                await pilot.pause()
    row("log, 10,000 lines taken over and drawn", spent, 0.2, "ms")
    app = Host()
    async with app.run_test(size=(100, 30)) as pilot:
        view, before = app.query_one(LogPanel).view, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        row("log, a million lines", timed(lambda: view.add(lines)), None)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{'log, a million lines, memory (text alone ' + str(sum(map(len, lines)) >> 20) + ' MB)':<46} {grown:>8.0f} MB")
        await pilot.pause()
        row("log, a frame of a million lines", timed(lambda: [view.render_line(y) for y in range(view.size.height)]), None, "ms")
        for what, search in (("words", Search("loss 0.0001,")), ("a regular expression", Search(r"step \d+99: .*0\.00", True))):

            def look(search: Search = search) -> list[int]:
                return list(search.in_lines(view.lines, 0, len(view.lines)))

            row(f"log, {what} in a million lines", timed(look), None)


async def burst(home: Path) -> None:
    """Five seconds of 5,000 events each: how late the screen's own loop comes back meanwhile."""
    app = CalmtuneApp(home, "ready")
    async with app.run_test(size=(120, 36)) as pilot:
        while not isinstance(app.screen, WalkScreen) or not app.screen.query("#panel > *"):
            await pilot.pause(0.05)
        walk = app.screen
        assert isinstance(walk, WalkScreen)
        walk.at_work = run = RunningStep(walk.session, "training", lambda run: None)  # never started: told from here
        await walk._show("training")
        await pilot.pause(0.5)
        late, most, told, began, spent = list[float](), 0, 0, time.perf_counter(), time.process_time()
        while (now := time.perf_counter() - began) < 5:
            due = int(5000 * now)
            for event in _events(told, due):
                run._hear(event)
            told, most = due, max(most, len(run._events))
            asleep = time.perf_counter()
            await asyncio.sleep(0.01)
            late.append(time.perf_counter() - asleep - 0.01)
        while run._events:
            await pilot.pause(0.05)
        assert len(walk.query_one(RunPanel).query_one(LossChart).training.steps) >= told // 2 - 1
        walk.at_work = None
        late.sort()
        print(f"{'5,000 events a second, share of a processor':<46} {(time.process_time() - spent) / (time.perf_counter() - began):>8.0%}")
        for what, share in (("half of the time by less than", 0.5), ("99 of 100 times", 0.99), ("at most", 1.0)):
            print(f"{'  the loop is late, ' + what:<46} {1000 * late[min(len(late) - 1, int(share * len(late)))]:>8.3g} ms")
        print(f"{'  most events that waited':<46} {most:>8,}")


def _events(first: int, last: int) -> Iterator[StepEvent]:
    kinds = (lambda n: Metric(n, {"loss": 3 / (n + 1)}), lambda n: Log(f"line {n}"), lambda n: Metric(n, {"loss": 3 / (n + 1)}),
             lambda n: Progress(n, 100_000, "steps", 60.0))  # fmt: skip
    return (kinds[number % 4](number) for number in range(first, last))


async def main(runs: int) -> None:
    collect_rarely()
    stay_responsive()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home" / "sessions"
        make_sessions(home)
        commands(home, runs)
        await screens(home, runs)
        await chart(runs)
        await log(runs)
        await burst(home)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
