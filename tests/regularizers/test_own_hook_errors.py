"""A slip in one's own technique is told by its hook, file and line, and by what was expected."""

import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regbench.config.errors import describe_error
from regbench.regularizers import Combined, Regularizer
from regbench.runs.run import run

Composed = Callable[..., dict[str, Any]]


class NoList(Regularizer):
    def after_activation(self, features: int, dims: int) -> Any:
        return nn.Dropout(0.1)


class ImagesAlone(Regularizer):
    def on_batch(self, images: Tensor, targets: Tensor) -> Any:
        return images


class FewerTargets(Regularizer):
    def on_batch(self, images: Tensor, targets: Tensor) -> Any:
        return images, targets[1:]


class Vector(Regularizer):
    def penalty(self, net: nn.Module) -> Any:
        return net.output.weight.sum(1)


class PerImage(Regularizer):
    def penalty_on_logits(self, logits: Tensor, targets: Tensor) -> Any:
        return logits.mean(1)


class Negative(Regularizer):
    def decay(self, name: str, parameter: nn.Parameter) -> float:
        return -1.0


class Endless(Regularizer):
    def decay(self, name: str, parameter: nn.Parameter) -> float:
        return float("nan")


class Raising(Regularizer):
    def on_batch(self, images: Tensor, targets: Tensor) -> Any:
        return images[: len(targets.sum())], targets


class Unprepared(Regularizer):
    def prepare(self, net: nn.Module) -> None:
        net.get_submodule("outptu")


class Gradientless(Regularizer):
    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        raise RuntimeError("no gradients")


class Unstepped(Regularizer):
    def after_step(self, net: nn.Module) -> None:
        raise RuntimeError("no step")


class Misspelled(Regularizer):
    def penalty(self, net: nn.Module) -> Any:
        return net.outptu.weight.sum()


def failed(technique: type[Regularizer], folder: Path, config: dict[str, Any]) -> str:
    """Run with the technique, and return the line that the user sees."""
    config["regularizer"] = {"own": {"_target_": f"{__name__}.{technique.__name__}"}}
    with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError)) as caught:
        run(folder, config)
    line = describe_error(caught.value)
    assert json.loads((folder / "results.json").read_text())["error"] == line
    assert "\n" not in line
    assert "Traceback (most recent call last)" in (folder / "error.txt").read_text()
    return line


@pytest.mark.parametrize(
    ("technique", "hook", "expected"),
    [
        (NoList, "after_activation", "expected a list of layers (empty for none), received Dropout"),
        (
            ImagesAlone,
            "on_batch",
            "expected two tensors, images (N, 1, 28, 28) and class probabilities (N, C), ",
        ),
        (FewerTargets, "on_batch", "received tuple of a tensor (50, 1, 28, 28), a tensor (49, 10)"),
        (Vector, "penalty", "expected a scalar tensor or a number, received a tensor (10)"),
        (PerImage, "penalty_on_logits", "expected a scalar tensor or a number, received a tensor (50)"),
        (Negative, "decay", "expected a finite number of at least 0, received -1.0"),
        (Endless, "decay", "expected a finite number of at least 0, received nan"),
    ],
)
def test_what_a_hook_returns_is_checked(
    technique: type[Regularizer], hook: str, expected: str, composed: Composed, tmp_path: Path
) -> None:
    line = failed(technique, tmp_path, composed("model=mlp_small"))
    first = inspect.getsourcelines(getattr(technique, hook))[1]
    assert f"{technique.__name__}.{hook} ({__file__}:{first})" in line
    assert expected in line


@pytest.mark.parametrize(
    ("technique", "hook", "message"),
    [
        (Raising, "on_batch", "len() of a 0-d tensor"),
        (Misspelled, "penalty", "no attribute 'outptu'"),
        (Unprepared, "prepare", "has no attribute `outptu`"),
        (Gradientless, "on_gradients", "no gradients"),
        (Unstepped, "after_step", "no step"),
    ],
)
def test_what_a_hook_raises_is_told_with_its_place(
    technique: type[Regularizer], hook: str, message: str, composed: Composed, tmp_path: Path
) -> None:
    line = failed(technique, tmp_path, composed("model=mlp_small"))
    assert re.match(rf"{re.escape(__file__)}:\d+, in {hook}: ", line)
    assert message in line


class Borrowing(Regularizer):
    def on_batch(self, images: Tensor, targets: Tensor) -> Any:
        return importlib.import_module("borrowed").change(images, targets)


def test_what_a_package_of_another_environment_raises_is_told_by_the_hook(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "other/site-packages"
    packages.mkdir(parents=True)
    (packages / "borrowed.py").write_text("def change(images, targets):\n    raise RuntimeError('inside')\n")
    monkeypatch.syspath_prepend(packages)
    line = failed(Borrowing, tmp_path / "run", composed("model=mlp_small"))
    assert re.match(rf"{re.escape(__file__)}:\d+, in on_batch: inside", line)


@pytest.mark.slow
def test_what_a_hook_raises_in_a_compiled_step_is_told_with_its_place(composed: Composed, tmp_path: Path) -> None:
    line = failed(Misspelled, tmp_path, composed("model=mlp_small", "compile=true"))
    assert re.match(rf"{re.escape(__file__)}:\d+, in penalty: .*no attribute 'outptu'", line)


def test_a_penalty_may_be_a_number_and_targets_may_be_a_list_with_the_images() -> None:
    class Plain(Regularizer):
        def penalty(self, net: nn.Module) -> float:
            return 2

        def on_batch(self, images: Tensor, targets: Tensor) -> Any:
            return [images, targets]

    combined = Combined({"plain": Plain()})
    assert combined.penalty(nn.Linear(1, 1)) == 2
    images, targets = torch.zeros(2, 1, 4, 4), torch.zeros(2, 3)
    assert combined.on_batch(images, targets)[0] is images


class Stopped(Regularizer):
    def on_batch(self, images: Tensor, targets: Tensor) -> Any:
        raise KeyboardInterrupt("stopped by Ctrl-C")


def test_a_stop_is_told_without_the_code_that_it_met(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small") | {"regularizer": {"own": {"_target_": f"{__name__}.Stopped"}}}
    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path, config)
    assert describe_error(caught.value) == "stopped by Ctrl-C"
