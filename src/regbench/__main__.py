"""The `regbench` command as `python -m regbench`, for workers that get their caller's interpreter."""

from regbench.cli import app

app()
