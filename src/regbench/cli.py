"""The ``regbench`` command. Heavy imports live in the commands, so that ``--help`` answers at once."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def regbench() -> None:
    """Which regularization helps, by how much, and how sure are we?"""
