"""`regbench new`: parts of one's own, each as two files that run."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regbench.refusals import one_line_errors

if TYPE_CHECKING:
    from regbench.templates import Kind

app = typer.Typer(no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="small letters, digits and underscores", metavar="NAME")]
_Folder = Annotated[Path, typer.Option("--dir", help="a folder of your own, made if missing", metavar="FOLDER")]
_MY = Path("my")


@app.callback()
def new() -> None:
    """Write a technique, model, optimizer, metric or data set of your own: two files that run, to start from."""


@app.command()
def regularizer(name: _Name, folder: _Folder = _MY) -> None:
    """Write a technique, with all hooks described and one in use, and its YAML."""
    _write("regularizer", name, folder)


@app.command()
def model(name: _Name, folder: _Folder = _MY) -> None:
    """Write a small network with slots for techniques, and its YAML."""
    _write("model", name, folder)


@app.command()
def optimizer(name: _Name, folder: _Folder = _MY) -> None:
    """Write an optimizer that takes a decay for each group of parameters, and its YAML."""
    _write("optimizer", name, folder)


@app.command()
def metric(name: _Name, folder: _Folder = _MY) -> None:
    """Write a metric of torchmetrics, and its YAML."""
    _write("metric", name, folder)


@app.command()
def dataset(
    path: Annotated[
        Path,
        typer.Argument(
            help="images by class, with or without train/ and test/ above the classes; IDX files; or an .npz file",
            metavar="PATH",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="the set's name; the path's own unless given")] = None,
    test_share: Annotated[float, typer.Option(help="share of the images for a test set, where there is none")] = 0.2,
    side: Annotated[
        int | None, typer.Option(help="fit images to squares of this side in pixels, the rest black", min=4, max=1024)
    ] = None,
    grey: Annotated[bool, typer.Option("--grey", help="turn colour into grey levels")] = False,
    root: Annotated[Path, typer.Option(help="where data are kept", metavar="FOLDER")] = Path("data"),
    configs: Annotated[
        Path | None,
        typer.Option(
            help="the folder of YAML groups; a checkout's own in there, elsewhere my/configs", metavar="FOLDER"
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace files of this name that are there")] = False,
) -> None:
    """Make images of your own a data set: writes them to one file, and the YAML that describes them.

    The YAML has the class names, the sizes, mean and deviation of the training images, and a hash of all images, by
    which changed images are never taken for those of finished runs.
    """
    from regbench.config.composing import CONFIGS
    from regbench.data.describing import write_dataset

    target = configs or (CONFIGS if CONFIGS.parent == Path.cwd() else _MY / "configs")
    place = root if target == CONFIGS else root.absolute()  # other YAMLs are used from anywhere
    with one_line_errors():
        described = write_dataset(
            path, name, place, target, test_share=test_share, side=side, grey=grey, replace=replace
        )  # fmt: skip
    for line in (*described.lines, described.images, described.description):
        typer.echo(line)
    added = "" if target == CONFIGS else f" --config-dir {shlex.quote(str(target))}"
    typer.echo(f"Next: regbench train{added} dataset={described.description.stem}")


def _write(kind: "Kind", name: str, folder: Path) -> None:
    from regbench.templates import write_part

    with one_line_errors():
        written = write_part(kind, name, folder)
    for line in (written.code, written.config, f"Next: {written.command}"):
        typer.echo(line)
