"""Each technique beside the first three against an independent value, and what all techniques have in common."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import functional as transforms

from regbench.config.composing import CONFIGS
from regbench.config.identity import run_name
from regbench.models import LeNet5
from regbench.regularizers import Combined, Regularizer
from regbench.regularizers.augmentation import Augmentation, warp
from regbench.regularizers.cutout import Cutout
from regbench.regularizers.gaussian_noise import GaussianNoise
from regbench.regularizers.l1 import L1
from regbench.regularizers.label_smoothing import LabelSmoothing
from regbench.regularizers.layernorm import LayerNorm
from regbench.regularizers.mixup import Mixup
from regbench.regularizers.weight_decay import WeightDecay
from regbench.runs.parts import build
from regbench.training.classifier import Classifier, parameter_groups

Composed = Callable[..., dict[str, Any]]
TECHNIQUES = sorted(path.stem for path in (CONFIGS / "regularizer").glob("*.yaml") if path.stem != "none")
PAIRS = list(itertools.combinations(TECHNIQUES, 2))


def test_the_house_holds_at_least_the_documented_techniques() -> None:
    assert len(TECHNIQUES) >= 10
    assert len(PAIRS) >= 45


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_technique_is_one_yaml_and_one_file_of_its_name(technique: str) -> None:
    node = yaml.safe_load((CONFIGS / f"regularizer/{technique}.yaml").read_text(encoding="utf-8"))
    assert list(node) == [technique]
    assert node[technique]["_target_"].startswith(f"regbench.regularizers.{technique}.")


def test_techniques_have_one_folder_in_whatever_order_they_are_given(composed: Composed) -> None:
    forwards, backwards = (composed(f"regularizer=[{','.join(names)}]") for names in (TECHNIQUES, TECHNIQUES[::-1]))
    assert list(forwards["regularizer"]) == list(backwards["regularizer"])[::-1] == TECHNIQUES
    assert run_name(forwards) == run_name(backwards)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_all_pairs_build_and_train_a_step(first: str, second: str, composed: Composed) -> None:
    # Composed once, all together: what Hydra makes of a technique is the same beside any other.
    config = composed(f"regularizer=[{','.join(TECHNIQUES)}]", "model=lenet5_compact")
    config["regularizer"] = {name: config["regularizer"][name] for name in (second, first)}
    classifier = build(config).classifier
    optimizer = classifier.configure_optimizers()["optimizer"]
    before = [each.detach().clone() for each in classifier.net.parameters()]
    classifier.on_train_epoch_start()
    batch = torch.rand(8, 1, 28, 28), torch.arange(8)

    def differentiate() -> float:
        optimizer.zero_grad()
        loss = classifier.batch_loss(batch)
        loss.backward()
        return loss.item()

    assert math.isfinite(optimizer.step(differentiate))
    assert any(not torch.equal(old, new) for old, new in zip(before, classifier.net.parameters(), strict=True))


BATCH_TECHNIQUES = [Augmentation(2, 10, 0.1, True), Cutout(8), LabelSmoothing(0.1), Mixup(0.5)]


@pytest.mark.parametrize("technique", BATCH_TECHNIQUES, ids=lambda each: type(each).__name__)
def test_a_batch_is_changed_in_a_copy_alike_for_one_seed_and_otherwise_for_another(technique: Regularizer) -> None:
    images, targets = torch.rand(10, 1, 28, 28), torch.eye(10)
    kept = images.clone(), targets.clone()
    changed = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        changed.append(technique.on_batch(images, targets))
    assert torch.equal(images, kept[0])
    assert torch.equal(targets, kept[1])
    assert all(map(torch.equal, changed[0], changed[1]))
    assert not all(map(torch.equal, changed[0], (images, targets)))
    if not isinstance(technique, LabelSmoothing):  # the one that draws nothing
        assert not all(map(torch.equal, changed[0], changed[2]))
    torch.testing.assert_close(changed[0][1].sum(1), torch.ones(10))
    assert changed[0][0].shape == images.shape
    assert changed[0][0].min() >= 0
    assert changed[0][0].max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "technique",
    [Augmentation(0, 0, 0, False), Cutout(0), LabelSmoothing(0), Mixup(0), GaussianNoise(0, "all"), L1(0, "all")],
    ids=lambda each: type(each).__name__,
)
def test_strength_zero_is_none_and_draws_nothing(technique: Regularizer) -> None:
    images, targets = torch.rand(10, 1, 28, 28), torch.eye(10)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    assert all(map(torch.equal, technique.on_batch(images, targets), (images, targets)))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert technique.after_activation(6, 2) == []
    assert technique.penalty(nn.Linear(2, 2)) == 0


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_label_smoothing_gives_the_loss_of_torch_with_label_smoothing(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 10), torch.arange(6)
    _, targets = LabelSmoothing(smoothing).on_batch(torch.rand(6, 1, 2, 2), F.one_hot(labels, 10).float())
    torch.testing.assert_close(
        F.cross_entropy(logits, targets), F.cross_entropy(logits, labels, label_smoothing=smoothing)
    )


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5, 5)])
def test_layer_norm_normalizes_each_image_over_all_its_features(shape: tuple[int, ...]) -> None:
    (layer,) = LayerNorm(1e-5).before_activation(6, len(shape) - 2)
    torch.manual_seed(0)
    inputs = torch.randn(shape) * 3 + 2
    torch.testing.assert_close(layer(inputs), F.layer_norm(inputs, shape[1:], eps=1e-5))


def test_layer_norm_adds_gamma_and_beta_of_each_feature_alone() -> None:
    net = LeNet5(28, 2, "tanh", "average", 10, 0.0, 1.0, LayerNorm(1e-5))
    assert sum(each.numel() for each in net.parameters()) == 61_706 + 2 * (6 + 16 + 120 + 84)


@pytest.mark.parametrize("parameters", ["weights", "all"])
def test_l1_equals_a_manual_sgd_step(parameters: Any) -> None:
    net = nn.Linear(2, 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[3.0, -2.0]]))
        net.bias.fill_(0.5)
    optimizer = torch.optim.SGD(parameter_groups(net, Regularizer()), lr=0.1)
    penalty = L1(0.2, parameters).penalty(net)
    assert isinstance(penalty, Tensor)
    loss = net(torch.ones(1, 2)).sum() + penalty
    loss.backward()
    optimizer.step()
    assert penalty.item() == pytest.approx(0.2 * (5 if parameters == "weights" else 5.5))
    # d/dw of the output is 1 everywhere; the penalty adds 0.2 times the sign.
    assert net.weight.flatten().tolist() == pytest.approx([3 - 0.1 * (1 + 0.2), -2 - 0.1 * (1 - 0.2)])
    assert net.bias.item() == pytest.approx(0.5 - 0.1 * (1 + (0.2 if parameters == "all" else 0)))


def test_l1_and_weight_decay_together_are_the_elastic_net() -> None:
    net = nn.Linear(2, 1, bias=False)
    both = Combined({"l1": L1(0.2, "weights"), "weight_decay": WeightDecay(0.3, "weights")})
    before = net.weight.detach().clone()
    optimizer = torch.optim.SGD(parameter_groups(net, both), lr=0.1)
    penalty = both.penalty(net)
    assert isinstance(penalty, Tensor)
    penalty.backward()
    optimizer.step()
    torch.testing.assert_close(net.weight.detach(), before - 0.1 * (0.2 * before.sign() + 0.3 * before))


def test_gaussian_noise_has_its_variance_in_training_and_is_the_identity_in_evaluation() -> None:
    (layer,) = GaussianNoise(0.3, "all").after_activation(6, 2)
    torch.manual_seed(0)
    ones = torch.ones(200_000)
    noise = layer(ones) - 1
    assert noise.mean().item() == pytest.approx(0, abs=0.003)
    assert noise.std().item() == pytest.approx(0.3, abs=0.003)
    layer.eval()
    assert layer(ones) is ones
    assert GaussianNoise(0.3, "dense").after_activation(6, 2) == []
    assert len(GaussianNoise(0.3, "dense").after_activation(6, 0)) == 1


def test_mixup_blends_a_hand_worked_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_sample_dirichlet", lambda concentration: torch.tensor([0.75, 0.25]))
    monkeypatch.setattr(torch, "rand", lambda count, device: torch.tensor([0.9, 0.2, 0.5]))  # the order is 1, 2, 0
    images, targets = torch.tensor([0.0, 0.4, 0.8]).view(3, 1, 1, 1), torch.eye(3)
    mixed, shares = Mixup(1.0).on_batch(images, targets)
    assert mixed.flatten().tolist() == pytest.approx([0.1, 0.5, 0.6])
    expected = torch.tensor([[0.75, 0.25, 0], [0, 0.75, 0.25], [0.25, 0, 0.75]])
    torch.testing.assert_close(shares, expected)


def test_mixups_loss_is_the_blend_of_both_labels_losses() -> None:
    torch.manual_seed(0)
    logits, targets, images = torch.randn(5, 5), torch.eye(5), torch.rand(5, 1, 2, 2)
    torch.manual_seed(1)
    share = torch.distributions.Beta(0.4, 0.4).sample().item()
    partner = torch.rand(5).argsort()
    torch.manual_seed(1)
    _, mixed = Mixup(0.4).on_batch(images, targets)
    own, others = F.cross_entropy(logits, torch.arange(5)), F.cross_entropy(logits, partner)
    torch.testing.assert_close(F.cross_entropy(logits, mixed), share * own + (1 - share) * others)


@pytest.mark.parametrize(
    ("size", "centre", "rows", "columns"),
    [
        (3, (4, 5), (3, 6), (4, 7)),
        (4, (4, 5), (2, 6), (3, 7)),
        (3, (0, 0), (0, 2), (0, 2)),
        (4, (7, 0), (5, 8), (0, 2)),
    ],
)
def test_cutout_hides_the_square_around_its_centre_cut_off_at_the_border(
    size: int, centre: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(centre)
    monkeypatch.setattr(torch, "randint", lambda high, shape, device: torch.full(shape, next(drawn)))
    expected = torch.ones(1, 1, 8, 8)
    expected[..., slice(*rows), slice(*columns)] = 0
    images, _ = Cutout(size).on_batch(torch.ones(1, 1, 8, 8), torch.ones(1, 1))
    assert torch.equal(images, expected)


def test_cutout_places_each_images_square_by_itself() -> None:
    torch.manual_seed(0)
    images, _ = Cutout(2).on_batch(torch.ones(50, 1, 8, 8), torch.ones(50, 1))
    assert len({image.numpy().tobytes() for image in images}) > 10


@pytest.mark.parametrize(
    ("angle", "size", "right", "down", "flipped"),
    [(10, 1.1, 2, -1, False), (-7, 0.9, 0, 3, False), (8, 0.95, 2, 1, True), (0, 1.0, -3, 0, False)],
)
def test_augmentations_map_equals_torchvisions(angle: int, size: float, right: int, down: int, flipped: bool) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 1, 28, 28)
    found = warp(
        image,
        torch.tensor([math.radians(angle)]),
        torch.tensor([size]),
        torch.tensor([[float(right), float(down)]]),
        torch.tensor([flipped]),
    )
    expected = transforms.affine(
        transforms.hflip(image) if flipped else image,
        angle=angle,
        translate=[right, down],
        scale=size,
        shear=[0.0],
        interpolation=transforms.InterpolationMode.BILINEAR,
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_augmentation_draws_from_its_whole_range_for_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr("regbench.regularizers.augmentation.warp", lambda images, *drawn: seen.extend(drawn) or images)
    torch.manual_seed(0)
    Augmentation(2, 90, 0.1, True).on_batch(torch.rand(10_000, 1, 1, 1), torch.ones(10_000, 1))
    angle, size, shift, flipped = seen
    for values, low, high in ((angle, -math.pi / 2, math.pi / 2), (size, 0.9, 1.1), (shift, -2, 2)):
        assert values.min().item() == pytest.approx(low, abs=0.01 * (high - low))
        assert values.max().item() == pytest.approx(high, abs=0.01 * (high - low))
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("dataset", "flip"), [("digits", False), ("mnist", False), ("fashion_mnist", True)])
def test_only_data_whose_mirrored_images_keep_their_class_is_flipped(
    dataset: str, flip: bool, composed: Composed
) -> None:
    config = composed(f"dataset={dataset}", "regularizer=augmentation")
    assert config["regularizer"]["augmentation"]["flip"] is flip
    assert build(config).data.flip is flip


@pytest.mark.slow
def test_all_techniques_together_train_alike_compiled_and_plain(composed: Composed) -> None:
    from torch._inductor import config as inductor

    # Compiled layers draw other noise than plain ones: only techniques without random layers can be compared.
    names = sorted(set(TECHNIQUES) - {"dropconnect", "dropout", "gaussian_noise", "spatial_dropout"})
    found = []
    torch.compiler.reset()  # graphs of other tests in this process count against the compiler's limit
    for compile in (False, True):
        classifier: Classifier = build(composed(f"regularizer=[{','.join(names)}]", f"compile={compile}")).classifier
        torch.manual_seed(0)
        images, labels = torch.rand(20, 1, 28, 28), torch.arange(20) % 10
        classifier.on_train_epoch_start()
        with inductor.patch(compile_threads=1):
            loss = classifier.batch_loss((images, labels))
        loss.backward()
        found.append([loss.detach(), *(each.grad for each in classifier.net.parameters())])
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(plain, compiled, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*TECHNIQUES, "[batchnorm,dropout,weight_decay]", f"[{','.join(TECHNIQUES)}]"])
def test_each_technique_and_all_together_learn(setting: str, composed: Composed, tmp_path: Path) -> None:
    from regbench.runs.run import run

    quick = ["trainer.max_epochs=4", "dataset.batch_size=20", "optimizer.lr=0.004"]
    results = run(tmp_path, composed(f"regularizer={setting}", *quick))
    assert results.metrics["test/acc"] > 0.6
