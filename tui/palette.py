"""Every key that works where one is, in the command palette."""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider

_MOVING = {"up", "down", "left", "right", "shift+left", "shift+right", "home", "end", "pageup", "pagedown", "j", "k", "enter"}


class KeyCommands(Provider):
    """What the keys of the screen below do, by their names and tooltips."""

    async def discover(self) -> Hits:
        for binding in self._bindings():
            yield DiscoveryHit(binding.description, lambda binding=binding: self._run(binding), help=_help(binding))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for binding in self._bindings():
            score = max(matcher.match(binding.description), matcher.match(binding.tooltip))
            if score > 0:
                title = matcher.highlight(binding.description)
                yield Hit(score, title, lambda binding=binding: self._run(binding), help=_help(binding))

    def _bindings(self) -> Iterator[Binding]:
        """Keys that do something now, but those that only move about; a command of the app is in the palette already."""
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            moves = binding.key.partition(",")[0] in _MOVING
            if active.enabled and binding.id and not moves and active.node is not self.app:
                if binding.action not in seen:
                    yield binding
                seen.add(binding.action)

    async def _run(self, binding: Binding) -> None:
        node = next((one.node for one in self.screen.active_bindings.values() if one.binding == binding), self.screen)
        await self.app.run_action(binding.action, node)


def _help(binding: Binding) -> str:
    return f"{binding.tooltip} ({binding.key_display or binding.key.replace('question_mark', '?')})"
