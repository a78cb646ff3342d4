"""The final model of a session as files to take away, and their export while a step runs."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

from core.errors import GateFailed, Interrupted, UsageError
from core.serving.export.copying import Exported, Tell, export
from core.serving.export.store import Store
from core.serving.manifests.folder import FOLDER
from core.training.bundle import FOLDERS, MANIFEST, ModelArtifact
from core.wizard.events import Progress
from core.wizard.session import Session
from core.wizard.step import Context, Upstream


@dataclass(frozen=True)
class TakenAway:
    """What goes into an export."""

    model: ModelArtifact
    deployment: Path | None
    """Folder with the files to serve it elsewhere; None before the deployment step was done."""

    @property
    def files(self) -> dict[str, Path]:
        """By name in the export: model/ (or adapter/), with the model card in it, manifest.json and deploy/."""
        beside = {FOLDER: self.deployment} if self.deployment is not None else {}
        return {self._folder: self.model.folder, MANIFEST: self.model.manifest, **beside}

    @property
    def checksums(self) -> dict[str, str]:
        """Of the model's files by name in the export, from its manifest."""
        return {f"{self._folder}/{name}": sha256 for name, sha256 in self.model.read_manifest()["files"].items()}

    @property
    def _folder(self) -> str:
        return FOLDERS[self.model.read_manifest().get("artifact", "merged")]  # a quantised copy is made of a merged model

    def export(self, store: Store, tell: Tell) -> Exported:
        """Copy all of it; the model must have been verified. Raises UsageError for its own folder, and what `export` raises."""
        if Path(store.place).resolve().is_relative_to(self.model.folder.resolve()):
            raise UsageError(f"{store.place} lies in the folder of the model itself; name another place")
        return export(self.files, store, tell, self.checksums)


def final_model(production: Upstream) -> ModelArtifact:
    """The model that is deployed: the quantised copy where there is one."""
    copy = "quantised_" if "quantised" in production.outputs.files else ""
    return ModelArtifact(production.path("quantised" if copy else "model").resolve(), production.path(f"{copy}manifest"))


def final_of(session: Session) -> TakenAway:
    """What there is to export of a session. Raises UsageError before there is a final model, GateFailed when it is not good enough."""
    made = session.status("production")
    if made.outputs is None or made.folder is None:
        why = f"{made.state}: {made.reason}" if made.reason else made.state
        raise UsageError(f"session {session.id} has no final model (production is {why}); `calmtune resume {session.id}` makes it")
    if made.state == "gate failed":
        raise GateFailed(f"the final model of session {session.id} is not good enough to be exported: {made.reason}")
    return TakenAway(final_model(Upstream(made.outputs, made.folder)), _left_by_deployment(session))


def _left_by_deployment(session: Session) -> Path | None:
    """Its files, also when the server it started has ended since."""
    key = session.status("deployment").key
    folder = session.folder / "runs" / f"deployment-{(key or '')[:12]}" / FOLDER
    return folder if folder.is_dir() else None


async def export_in_step(context: Context, taken: TakenAway, store: Store) -> Exported:
    """Export with progress as events; a step that is cancelled leaves it, to go on from there when run again."""
    leave = threading.Event()

    def tell(what: str, done: int, total: int) -> None:
        if leave.is_set():
            raise Interrupted("the export was left; run again to go on with it")
        context.emit(progress(what, done, total))

    try:
        return await asyncio.to_thread(taken.export, store, tell)
    finally:
        leave.set()


def progress(what: str, done: int, total: int) -> Progress:
    """Bytes of an export as an event."""
    return Progress(round(done / 1e6, 1), round(total / 1e6, 1), "MB", label=what)
