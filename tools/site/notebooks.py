"""Notebooks as pages: their texts, their code and what it printed, drew or returned."""

import json
from pathlib import Path
from typing import Any


def notebook_page(path: Path) -> str:
    """Return a notebook with its kept outputs as Markdown; a link on top leads to the file itself."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, *rest = [_cell(cell) for cell in cells]
    download = f'<small>This page is a [notebook]({path.name}){{ download="{path.name}" }}, run as it stands.</small>'
    heading, _, text = title.partition("\n")
    return "\n\n".join([heading, download, text.strip(), *rest]) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    return "\n\n".join([_fenced(source, "python"), *map(_output, cell["outputs"])])


def _output(output: dict[str, Any]) -> str:
    """The richest form that a page can show."""
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "text")
    data = output["data"]
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img class="output" alt="figure" src="data:image/png;base64,{picture}">'
    if "text/html" in data:
        return f'<div class="output">{_one_block(data["text/html"])}</div>'
    return _fenced("".join(data["text/plain"]), "text")


def _one_block(html: list[str]) -> str:
    """HTML without empty lines, at which Markdown would end it."""
    return "".join(line.strip() for line in "".join(html).splitlines())


def _fenced(text: str, language: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
