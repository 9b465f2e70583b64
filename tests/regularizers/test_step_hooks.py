"""What techniques do around an optimizer's step: to its gradients, once or anew, and to the weights after it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional as F

from regbench.regularizers import Combined, Regularizer
from regbench.regularizers.gradient_clipping import GradientClipping
from regbench.regularizers.sam import SAM
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.training.classifier import Classifier
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]
SMALL = "model=mlp_small"


class Watching(pl.Callback):
    """Asks for single steps, and notes whether they were taken."""

    def __init__(self, *, asks: bool) -> None:
        self.by_chunks: list[bool] = []
        if asks:
            self.on_train_batch_end = lambda *arguments: None  # type: ignore[method-assign]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.by_chunks.append(not pl_module.automatic_optimization)


def weights(folder: Path, name: str = "weights.pt") -> dict[str, Tensor]:
    found = torch.load(folder / "checkpoints" / name, weights_only=True)
    return found.get("state_dict", found)  # type: ignore[no-any-return]  # torch.load is untyped


@pytest.mark.parametrize(
    "overrides",
    [
        ["regularizer=[batchnorm,dropout,gradient_clipping,mixup,sam]", "optimizer=sgd"],
        ["regularizer=[dropconnect,max_norm]", "scheduler=one_cycle"],
        ["regularizer=[confidence_penalty,sam]", "optimizer=adamw"],
    ],
    ids=" ".join,
)
def test_hooks_around_a_step_act_by_chunks_as_in_single_steps(
    overrides: list[str], composed: Composed, tmp_path: Path
) -> None:
    config = composed(SMALL, "trainer.max_epochs=2", *overrides)
    chunks, single = Watching(asks=False), Watching(asks=True)
    run(tmp_path / "chunks", config, callbacks=[chunks])
    run(tmp_path / "single", config, callbacks=[single])
    assert (chunks.by_chunks, single.by_chunks) == ([True] * 2, [False] * 2)
    assert final_bits(tmp_path / "chunks") == final_bits(tmp_path / "single")


def test_gradient_clipping_trains_to_the_weights_of_the_trainers_own(composed: Composed, tmp_path: Path) -> None:
    size = [SMALL, "trainer.max_epochs=2", "optimizer=sgd"]
    run(tmp_path / "trainer", composed(*size, "trainer.gradient_clip_val=0.2"))
    clipping = composed(*size, "regularizer=gradient_clipping", "regularizer.gradient_clipping.max_norm=0.2")
    run(tmp_path / "technique", clipping)
    run(tmp_path / "none", composed(*size))
    ours, theirs, none = (weights(tmp_path / name) for name in ("technique", "trainer", "none"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not any(torch.equal(ours[name], none[name]) for name in ours if name.endswith("weight"))


def test_max_norm_holds_in_every_checkpoint_after_the_very_last_step_too(composed: Composed, tmp_path: Path) -> None:
    bound = 0.6
    config = composed(SMALL, "regularizer=max_norm", f"regularizer.max_norm.max_norm={bound}", "trainer.max_epochs=3")
    config["optimizer"]["lr"] = 0.05
    run(tmp_path, config)
    for name in ("weights.pt", "best.ckpt", "last.ckpt"):
        lengths = torch.cat([each.norm(dim=1) for each in weights(tmp_path, name).values() if each.ndim == 2])
        assert lengths.max() <= bound * (1 + 1e-6)
        assert lengths.max() > bound * (1 - 1e-5)


def test_a_bound_that_is_never_reached_and_a_radius_of_zero_train_to_the_very_weights_of_none(
    composed: Composed, tmp_path: Path
) -> None:
    run(tmp_path / "none", composed(SMALL, "trainer.max_epochs=2"))
    huge = [f"regularizer.{name}.max_norm=1e6" for name in ("gradient_clipping", "max_norm")]
    inert = ["regularizer=[gradient_clipping,max_norm,sam]", "regularizer.sam.rho=0", *huge]
    run(tmp_path / "inert", composed(SMALL, "trainer.max_epochs=2", *inert))
    assert final_bits(tmp_path / "inert") == final_bits(tmp_path / "none")


def stepped(classifier: Classifier, batch: tuple[Tensor, Tensor]) -> float:
    """Take one step as the training does, and return its loss."""
    optimizer = classifier.configure_optimizers()["optimizer"]
    classifier.on_train_epoch_start()

    def differentiate() -> float:
        optimizer.zero_grad()
        loss = classifier.batch_loss(batch)
        loss.backward()
        return loss.item()

    return float(optimizer.step(closure=differentiate))


def test_sam_equals_two_gradients_by_hand_of_the_same_mask_and_blend(composed: Composed) -> None:
    rho, rate = 0.3, 0.1
    config = composed(SMALL, "regularizer=[dropout,mixup,sam]", "optimizer=sgd", "optimizer.momentum=0")
    config["optimizer"].update(lr=rate, nesterov=False)
    config["regularizer"]["sam"]["rho"] = rho
    classifier = build(config).classifier
    net = copy.deepcopy(classifier.net)
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    batch = torch.rand(12, 1, 28, 28), torch.arange(12) % 10

    classifier.seed_epoch(0)
    images, targets = classifier.regularized(batch)
    stream = torch.get_rng_state()

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        torch.set_rng_state(stream)
        return F.cross_entropy(functional_call(net, parameters, (images,)), targets)

    first = grad(loss)(before)
    length = torch.cat([each.flatten() for each in first.values()]).norm()
    uphill = {name: value + rho * first[name] / length for name, value in before.items()}
    second = grad(loss)(uphill)

    assert stepped(classifier, batch) == pytest.approx(loss(before).item(), rel=1e-5)
    for name, value in classifier.net.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] - rate * second[name], rtol=1e-4, atol=1e-6)
        assert not torch.allclose(first[name], second[name], rtol=1e-2)


class Counting(Regularizer):
    """Counts the batches that it sees, and draws for each."""

    def __init__(self) -> None:
        self.seen = 0

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += 1
        return images + 0.1 * torch.rand_like(images), targets


def test_a_batch_whose_gradients_are_computed_anew_is_changed_normalized_and_counted_once(composed: Composed) -> None:
    config = composed(SMALL, "regularizer=[batchnorm,sam]")
    config["regularizer"]["counting"] = {"_target_": f"{__name__}.Counting"}
    classifier = build(config).classifier
    batch = torch.rand(12, 1, 28, 28), torch.arange(12) % 10
    loss = stepped(classifier, batch)
    state = classifier.net.state_dict()
    assert isinstance(classifier.regularizer, Combined)
    counting = classifier.regularizer.techniques["counting"]
    assert isinstance(counting, Counting)
    assert counting.seen == 1
    assert state["h1_before.0.num_batches_tracked"] == 1
    examples, objective, _ = classifier._totals.tolist()
    assert (examples, objective) == (12, pytest.approx(12 * loss, rel=1e-6))


def test_the_random_stream_goes_on_as_if_gradients_had_been_computed_once(composed: Composed) -> None:
    drawn = []
    for setting in ("dropout", "[dropout,sam]"):
        classifier = build(composed(SMALL, f"regularizer={setting}")).classifier
        stepped(classifier, (torch.rand(12, 1, 28, 28), torch.arange(12) % 10))
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


class Repeating(Regularizer):
    """Has the gradients computed anew where they were, and notes whether they are the same to the bit."""

    def __init__(self) -> None:
        self.same: list[bool] = []

    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        before = [each.grad.clone() for each in net.parameters() if each.grad is not None]
        recompute()
        self.same.append(all(torch.equal(old, each.grad) for old, each in zip(before, net.parameters(), strict=True)))  # type: ignore[arg-type]  # there


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_computed_anew_at_the_same_weights_are_the_same_masks_and_all(
    compiled: bool, composed: Composed
) -> None:
    config = composed(SMALL, "regularizer=[batchnorm,dropconnect,dropout,mixup]", f"compile={compiled}")
    config["regularizer"]["repeating"] = {"_target_": f"{__name__}.Repeating"}
    classifier = build(config).classifier
    for _ in range(2):
        stepped(classifier, (torch.rand(12, 1, 28, 28), torch.arange(12) % 10))
    assert isinstance(classifier.regularizer, Combined)
    assert vars(classifier.regularizer.techniques["repeating"])["same"] == [True, True]


class Scaling(Regularizer):
    """Multiplies gradients, and may have them computed anew before."""

    def __init__(self, factor: float, *, anew: bool = False) -> None:
        self.factor = factor
        self.anew = anew

    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        if self.anew:
            recompute()
        for each in net.parameters():
            assert each.grad is not None
            each.grad.mul_(self.factor)


def test_gradients_computed_anew_have_passed_through_the_techniques_before_and_those_after_follow() -> None:
    net = nn.Linear(1, 1, bias=False)
    computed = 0

    def compute() -> None:
        nonlocal computed
        computed += 1
        net.weight.grad = torch.ones(1, 1)

    chain = Combined({"a": Scaling(2.0), "b": Scaling(3.0, anew=True), "c": Scaling(5.0, anew=True), "d": Scaling(7.0)})
    compute()
    chain.on_gradients(net, compute)
    # Each that asks gets what a, or a and b, make of 1; b's own asking makes no difference to the product.
    assert net.weight.grad is not None
    assert net.weight.grad.item() == 2 * 3 * 5 * 7
    assert computed == 1 + 1 + 1 + 1


def test_clipping_before_sam_bounds_the_gradient_of_the_step() -> None:
    net = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, 4.0]]))

    def compute() -> None:  # of |w|² / 2
        net.weight.grad = net.weight.detach().clone()

    compute()
    with torch.no_grad():
        Combined({"sam": SAM(1.0), "gradient_clipping": GradientClipping(2.0)}).on_gradients(net, compute)
    assert net.weight.grad is not None
    # Uphill is (3, 4) · 6/5, of length 6, which is clipped to 2; the weights are back.
    assert net.weight.grad.flatten().tolist() == pytest.approx([1.2, 1.6], rel=1e-5)
    assert net.weight.flatten().tolist() == [3.0, 4.0]


def test_techniques_after_a_step_act_in_the_order_of_their_names() -> None:
    class Adding(Regularizer):
        def __init__(self, factor: float, summand: float) -> None:
            self.factor, self.summand = factor, summand

        def after_step(self, net: nn.Module) -> None:
            for each in net.parameters():
                each.mul_(self.factor).add_(self.summand)

    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(5.0)
        Combined({"b": Adding(3, 0), "a": Adding(1, 2)}).after_step(net)
    assert net.weight.item() == (5 + 2) * 3


def test_an_optimizer_that_wants_gradients_more_than_once_has_them_changed_each_time(
    composed: Composed, tmp_path: Path
) -> None:
    config = composed(SMALL, "regularizer=[max_norm,sam]", "regularizer.max_norm.max_norm=0.5")
    config["optimizer"] = {"_target_": "torch.optim.LBFGS", "name": "lbfgs", "lr": 0.1, "max_iter": 3}
    assert run(tmp_path, config).acted == {"max_norm": True, "sam": True}
    assert max(each.norm(dim=1).max() for each in weights(tmp_path).values() if each.ndim == 2) <= 0.5 * (1 + 1e-6)


def test_a_step_without_a_closure_is_refused_where_gradients_are_to_be_changed(composed: Composed) -> None:
    optimizer = build(composed(SMALL, "regularizer=sam")).classifier.configure_optimizers()["optimizer"]
    with pytest.raises(RuntimeError, match=r"^on_gradients: expected a step with a closure"):
        optimizer.step()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+trainer.accumulate_grad_batches=2"], r"trainer\.accumulate_grad_batches: expected 1 with .*; received 2$"),
        (["trainer.precision=16-mixed"], r"trainer\.precision: expected 32-true or bf16-mixed with .*'16-mixed'"),
        (
            ["+callbacks.some._target_=pytorch_lightning.callbacks.GradientAccumulationScheduler",
             "+callbacks.some.scheduling={1:2}"],
            r"callbacks\.some: expected no accumulated gradients with .* received GradientAccumulationScheduler$",
        ),
    ],
)  # fmt: skip
def test_what_gives_other_gradients_than_those_of_a_batch_is_refused(
    overrides: list[str], message: str, composed: Composed
) -> None:
    build(composed(SMALL, "regularizer=max_norm", *overrides))
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        build(composed(SMALL, "regularizer=[gradient_clipping,sam]", *overrides))
    assert "gradient_clipping, sam" in str(caught.value)


def test_a_techniques_filled_hooks_are_told_alone_and_among_others() -> None:
    assert SAM(0.1).fills("on_gradients")
    assert not SAM(0.1).fills("after_step")
    assert Combined({"a": Regularizer(), "b": SAM(0.1)}).fills("on_gradients")
    assert not Combined({}).fills("on_gradients")
