"""The `regbench` command. Heavy imports are inside the commands, so that `--help` answers at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from regbench import new
from regbench.refusals import one_line_errors as _one_line_errors

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(new.app, name="new")

_CONFIG_DIR = "a folder of your own with YAML groups, as of regbench train"
_TRUST = "a package of your own that the run's configuration may name; others than RegBench's are not imported"


@app.callback()
def regbench() -> None:
    """Which regularization helps, by how much, and how sure are we?"""


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(context: typer.Context) -> None:
    """Train one composition, or with -m a sweep of them: the same as `python train.py`."""
    from regbench.sweeps.command import main

    sys.argv = ["regbench train", *context.args]
    main()


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def tune(context: typer.Context) -> None:
    """Compare techniques at their best: search each with the same budget, confirm on fresh seeds, report."""
    if "--help" in context.args:
        from regbench.search.help import tune_help

        typer.echo(tune_help())
        return
    from regbench.sweeps.watching import announced

    with _one_line_errors(), announced("planning the search"):
        from regbench.search.command import tune as run_tune  # takes seconds

        code = run_tune(context.args)
    raise typer.Exit(code)


@app.command()
def work(
    study: Annotated[Path, typer.Argument(help="the folder of a planned sweep", metavar="STUDY")],
    runs: Annotated[
        Path | None,
        typer.Option(help="only these runs: their folders below the study's, one a line", metavar="FILE"),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="wait for runs that others hold, and take them up where those stop")
    ] = False,
) -> None:
    """Train a sweep's planned runs that nobody else works on, until none is left to take.

    Any number of workers share a study, on any number of machines that share its folder. A run that was stopped, or
    whose worker died, is taken up by another one. Runs that failed since the sweep's last call are left to the next.
    The exit status is 1 where runs failed, or are left and nobody works on them.
    """
    with _one_line_errors():
        from regbench.sweeps.work import work_alone

        code = work_alone(study, runs, wait=wait)
    raise typer.Exit(code)


@app.command()
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="A study's folder, several of them, a report's results.csv, or one run's folder.", metavar="STUDY…"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the report goes; STUDY/report unless given.", metavar="FOLDER")
    ] = None,
    baseline: Annotated[str, typer.Option(help="The setting that the others are compared with.")] = "none",
    margin: Annotated[
        float | None,
        typer.Option(
            help="The smallest difference in the metric that matters, in points where it is a fraction (1 is 0.01 of "
            "the images), for all data sets. Unless given, accuracies have the one that each data set's configuration "
            "states, and by other metrics nothing is called equivalent.",
            min=0.0,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What settings are judged by: test/loss, or test/f1 and the like of metrics=f1.")
    ] = "test/acc",
    table: Annotated[bool, typer.Option(help="Print the comparison, as a sweep does at its end.")] = True,
) -> None:
    """Write the tables, the figures and the page of finished runs; half-finished studies are reported too.

    Every run that is left out is listed. The exit status is 1 where one is left out that failed or diverged, has a
    damaged file, or whose recorded numbers are not those of its history or its predictions (mismatch). Runs that were
    interrupted or have not started do not change it.
    """
    from regbench.study import load
    from regbench.study.measured import Quantity
    from regbench.study.report import print_report, report_folder, report_on
    from regbench.study.results import LEFT_OUT

    with _one_line_errors():
        target = out or report_folder(paths)
        study = load(*paths)
        if margin is not None:
            margin /= Quantity.of(metric, study.kinds).scale
        page, told = report_on(study, paths, target, baseline, margin, metric)
    print_report(study, page, told, table)
    if LEFT_OUT.intersection(study.unfinished["status"]):
        raise typer.Exit(1)


@app.command()
def status(
    study: Annotated[Path, typer.Argument(help="a study's folder, or any folder of runs", metavar="STUDY")],
) -> None:
    """Say how far a study is: what is done, under way, stopped, failed or left, whoever trains it, and what goes on.

    Only its folder is read, so it may be called while others train. The exit status is 1 where runs failed, or are left
    and nobody works on them.
    """
    with _one_line_errors():
        from regbench.search.status import print_status

        code = print_status(study)
    raise typer.Exit(code)


@app.command()
def evaluate(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN] [KEY=VALUE ...]", help="a run folder, or overrides with --weights"),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="score this plain state dict; model=… and dataset=… as overrides")
    ] = None,
    config_dir: Annotated[Path | None, typer.Option(help=f"{_CONFIG_DIR}; with --weights", metavar="FOLDER")] = None,
    trust: Annotated[list[str] | None, typer.Option(help=_TRUST, metavar="PACKAGE")] = None,
) -> None:
    """Score a finished run's chosen checkpoint, or a plain state dict, again.

    A run's metrics are compared with those of its results.json; the exit status is 1 where they differ by more than
    another machine's rounding: a loss by 1e-4 of its value, an accuracy by one image and one in 5,000.
    """
    from regbench.config import compose
    from regbench.runs.evaluation import differences, predict_splits, score_splits
    from regbench.runs.loading import load_run
    from regbench.runs.parts import build, build_measures
    from regbench.training.weights import load_weights

    given, recorded = arguments or [], None
    with _one_line_errors():
        if weights is None:
            run, *rest = given or [""]
            if not run or rest:
                raise ValueError(f"regbench evaluate: expected one run folder, or --weights FILE, received {given}")
            if config_dir is not None:
                raise ValueError("--config-dir: expected with --weights alone: a run's folder has its configuration")
            trained = load_run(Path(run), trust or ())
            net, data, recorded = trained.net, trained.data, trained.results.metrics
            measures = build_measures(trained.config.get("metrics"), len(data.classes))
        else:
            built = build({**compose(given, config_dir), "compile": False})
            net, data, measures = built.classifier.net, built.data, built.classifier.measures
            load_weights(net, weights)
        predictions = predict_splits(net, data)
        metrics = score_splits(predictions, measures)
    width = max(10, *map(len, metrics)) + 1
    for name, value in metrics.items():
        print(f"{name:<{width}}" + ("–" if value is None else f"{value:.6f}"))
    if recorded is None:
        return
    images = {split: len(labels) for split, (_, labels) in predictions.items()}
    differing = differences(metrics, recorded, images)
    for line in differing:
        typer.echo(f"error: {given[0]}: results.json: {line}", err=True)
    if differing:
        raise typer.Exit(1)
    print("as recorded in results.json")


@app.command()
def summary(
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE ...]", help="as for train.py")] = None,
    config_dir: Annotated[Path | None, typer.Option(help=_CONFIG_DIR, metavar="FOLDER")] = None,
) -> None:
    """Print a composition's network: per layer its type, output shape and parameters, with their arithmetic."""
    from regbench.config import compose
    from regbench.display import print_summary
    from regbench.runs.parts import build
    from regbench.runs.summary import summarize

    with _one_line_errors():
        config = compose(overrides or [], config_dir)
        built = build({**config, "compile": False})
        layers = summarize(built.classifier.net, built.data.image_size, built.data.channels)
    print_summary(layers)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="a finished run's folder", metavar="RUN")],
    images: Annotated[list[Path], typer.Argument(help="PNG or JPEG files of any size", metavar="IMAGE...")],
    dark_on_light: Annotated[
        bool | None,
        typer.Option(
            "--dark-on-light/--light-on-dark", help="how grey images are drawn; unless given, detected for each"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print all probabilities as JSON")] = False,
    trust: Annotated[list[str] | None, typer.Option(help=_TRUST, metavar="PACKAGE")] = None,
) -> None:
    """Classify image files: the most probable classes of each. One that cannot be read does not stop the others."""
    from regbench.data.image_files import predict_image
    from regbench.runs.loading import load_run

    with _one_line_errors():
        trained = load_run(run, trust or ())
    data = trained.data
    if dark_on_light is None and not data.light_on_dark:
        dark_on_light = False
    answers: list[dict[str, Any]] = []
    for path in images:
        try:
            found = predict_image(trained.net.eval(), path, data.image_size, dark_on_light, data.channels)
        except ValueError as error:
            typer.echo(f"error: {error}", err=True)
            answers.append({"image": str(path), "error": str(error)})
            continue
        named = dict(zip(data.classes, found.probabilities.tolist(), strict=True))
        ranked = sorted(named.items(), key=lambda item: -item[1])
        answers.append(
            {"image": str(path), "class": ranked[0][0], "dark_on_light": found.dark_on_light, "probabilities": named}
        )
        if not as_json:
            best = ", ".join(f"{name} {share:.1%}" for name, share in ranked[:3])
            typer.echo(f"{path}: {best}" + (" (inverted)" if found.dark_on_light else ""))
    if as_json:
        typer.echo(json.dumps(answers, indent=2))
    if any("error" in each for each in answers):
        raise typer.Exit(1)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="a finished run's folder", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="where the files go; RUN/export unless given")] = None,
    form: Annotated[
        Literal["both", "onnx", "pt2"], typer.Option("--format", help="ONNX, a torch.export program, or both")
    ] = "both",
    trust: Annotated[list[str] | None, typer.Option(help=_TRUST, metavar="PACKAGE")] = None,
) -> None:
    """Write a finished run's network for other programs, with normalization, any batch size and its class names."""
    from regbench.runs.export import ONNX, PROGRAM, write_exports
    from regbench.runs.loading import load_run

    names = {"both": (PROGRAM, ONNX), "onnx": (ONNX,), "pt2": (PROGRAM,)}[form]
    with _one_line_errors():
        files = write_exports(load_run(run, trust or ()), out or run / "export", names)
    for file in files:
        typer.echo(file)
