"""Runs notebooks, each in an empty folder, and keeps their outputs: ``python -m tools.notebooks FILE…``."""

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from regbench.storage.files import write_text

# A cell may train a sweep.
_SECONDS = 1800
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run_notebook(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook from an empty folder and return it with its new outputs.

    Args:
        path: The notebook.
        folder: Where it runs, and what it writes goes.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat's
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_SECONDS, resources=resources, coalesce_streams=True).execute()
    return _plain(notebook)


def _plain(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave out when and where it ran, since the versions are those of the lock, and colours, which are no text."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})  # type: ignore[no-untyped-call]  # nbformat's
    for cell in notebook.cells:
        cell.metadata.clear()
        for output in cell.get("outputs", ()):
            if "text" in output:
                output["text"] = _COLOURS.sub("", output["text"])
    return notebook


def main(paths: list[str]) -> None:
    """Run these notebooks and write them with their outputs."""
    for path in map(Path, paths):
        with tempfile.TemporaryDirectory() as folder:
            notebook = run_notebook(path, Path(folder))
        write_text(path, nbformat.writes(notebook) + "\n")  # type: ignore[no-untyped-call]  # nbformat's
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
