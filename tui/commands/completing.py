"""The command that prints what a shell needs to complete `calmtune`."""

from __future__ import annotations

import click

from tui.completion import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, sessions, steps, answers for --set and places.

    \b
    bash:  eval "$(calmtune completion bash)"      in ~/.bashrc
    zsh:   eval "$(calmtune completion zsh)"       in ~/.zshrc, after compinit
    fish:  calmtune completion fish | source       in ~/.config/fish/config.fish
    """
    from tui import output

    output.data(script(shell, context.find_root().command))
