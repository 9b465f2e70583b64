"""What TensorBoard shows, read back from the event files and by TensorBoard's own HParams backend."""

import json
import re
from urllib.parse import parse_qs

import pytest
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from regbench.config import compose
from regbench.runs.run import run
from regbench.storage.schema import run_path
from regbench.training.tensorboard import CHOSEN
from tests.commands import ROOT

SETTINGS = ("none", "dropout", "weight_decay", "[batchnorm,dropout]")


@pytest.fixture(scope="module")
def multiplexer(tmp_path_factory: pytest.TempPathFactory) -> plugin_event_multiplexer.EventMultiplexer:
    folder = tmp_path_factory.mktemp("sweep")
    for setting in SETTINGS:
        quick = ["dataset=digits", "trainer.max_epochs=2", "dataset.train_size=100", "threads=1"]
        if setting == "dropout":
            quick.append("dataset.val_size=0")
        run(folder / setting / "seed0", compose([*quick, f"regularizer={setting}"]), [])
    found = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    found.Reload()
    return found


def test_every_run_shows_its_scalars_by_epoch(multiplexer: plugin_event_multiplexer.EventMultiplexer) -> None:
    runs = [name for name in multiplexer.Runs() if name.endswith("tensorboard")]
    assert len(runs) == len(SETTINGS)
    for name in runs:
        scalars = multiplexer.GetAccumulator(name)
        for tag in ("train/objective", "probe/loss", "probe/acc", "lr"):
            assert [event.step for event in scalars.Tensors(tag)] == [1, 2]


def test_the_address_that_make_prints_groups_the_seeds_of_each_setting_and_pins_curves(
    multiplexer: plugin_event_multiplexer.EventMultiplexer,
) -> None:
    (address,) = re.findall(r"^VIEW := \?(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    view = {key: value for key, (value,) in parse_qs(address).items()}
    group = re.compile(view["runColorGroup"].removeprefix("regex:"))
    runs = [
        run_path("digits", "mlp", *each) for each in (("none", "0a1b2c", 0), ("none", "0a1b2c", 7), ("l1", "3d4e5f", 0))
    ]
    found = [group.search(f"sweeps/mine/{run}/tensorboard") for run in runs]
    assert [each and each.groups() for each in found] == [("none-0a1b2c",), ("none-0a1b2c",), ("l1-3d4e5f",)]
    tags = [each["tag"] for each in json.loads(view["pinnedCards"])]
    run = next(name for name in multiplexer.Runs() if name.endswith("tensorboard") and "none" in name)
    assert set(tags) <= set(multiplexer.GetAccumulator(run).Tags()["tensors"])


def test_charts_of_one_point_come_after_all_curves(multiplexer: plugin_event_multiplexer.EventMultiplexer) -> None:
    run = next(name for name in multiplexer.Runs() if name.endswith("tensorboard"))
    scalars = multiplexer.GetAccumulator(run)
    points = [len(scalars.Tensors(tag)) for tag in sorted(scalars.Tags()["tensors"]) if not tag.startswith("_hparams_")]
    curves = points.count(2)
    assert points == [2] * curves + [1] * (len(points) - curves)
    assert 6 <= curves < len(points)


def test_the_hparams_tab_has_every_run_with_the_same_columns_and_its_metrics(
    multiplexer: plugin_event_multiplexer.EventMultiplexer,
) -> None:
    provider = MultiplexerDataProvider(multiplexer, "sweep")
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = RequestContext()
    metadata = context.hparams_metadata(request, "")
    known = context.hparams_from_data_provider(request, "", limit=100)
    experiment = context.experiment_from_metadata(request, "", True, metadata, known)
    assert [info.display_name for info in experiment.hparam_infos][:3] == ["setting", "strengths", "learning_rate"]
    metrics = [info.name for info in experiment.metric_infos]
    assert [info.display_name for info in experiment.metric_infos][:3] == ["val/acc", "test/acc", "gap"]
    assert f"{CHOSEN}/epoch" in {metric.tag for metric in metrics}
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_RUNNING],
        col_params=[api_pb2.ColParams(metric=metric) for metric in metrics],
    )
    groups = list_session_groups.Handler(request, context, "", asked).run().session_groups
    assert len(groups) == len(SETTINGS)
    settings = set()
    for group in groups:
        settings.add(group.hparams["setting"].string_value)
        values = {value.name.tag: value.value for value in group.metric_values}
        assert 0 < values[f"{CHOSEN}/test/acc"] <= 1
        assert set(group.hparams) >= {"dataset", "model", "setting", "strengths", "seed", "trained_at", "batch_size"}
    assert settings == {"none", "dropout", "weight_decay", "batchnorm+dropout"}
