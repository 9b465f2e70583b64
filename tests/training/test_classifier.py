from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

from regbench.data import Batches, Split
from regbench.runs.parts import build
from regbench.training.scoring import predict, scores

Composed = Callable[..., dict[str, Any]]


def test_scores_equal_scikit_learns_and_a_hand_made_calibration_error() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 10, generator=generator) * 2
    labels = torch.randint(0, 10, (500,), generator=generator)
    found = scores(logits, labels)
    probabilities = logits.double().softmax(1).numpy()
    answers = probabilities.argmax(1)
    assert found["acc"] == accuracy_score(labels, answers)
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-5)
    confidence, right = probabilities.max(1), answers == labels.numpy()
    bins = np.minimum((confidence * 15).astype(int), 14)
    by_hand = sum(
        (bins == number).mean() * abs(confidence[bins == number].mean() - right[bins == number].mean())
        for number in range(15)
        if (bins == number).any()
    )
    assert found["ece"] == pytest.approx(by_hand, rel=1e-4)


def test_scores_of_a_diverged_network_are_not_numbers_rather_than_an_error() -> None:
    found = scores(torch.full((4, 3), float("nan")), torch.tensor([0, 1, 2, 0]))
    assert np.isnan(found["loss"])
    assert np.isnan(found["ece"])


def test_online_numbers_are_weighted_by_the_size_of_each_batch(composed: Composed) -> None:
    classifier = build(composed("model=mlp_small")).classifier
    classifier.on_train_epoch_start()
    images, labels = torch.rand(7, 1, 28, 28), torch.arange(7)
    losses = [classifier.batch_loss((images[part], labels[part])).item() for part in (slice(0, 5), slice(5, 7))]
    answers = classifier.net(images).argmax(1)
    examples, objective, correct = classifier._totals.tolist()
    assert examples == 7
    assert objective == pytest.approx(5 * losses[0] + 2 * losses[1])
    assert correct == (answers == labels).sum()


@pytest.mark.parametrize(("compile", "training"), [(True, torch.contiguous_format), (False, torch.channels_last)])
def test_weights_lie_in_channels_last_while_they_are_scored_and_can_be_trained_again(
    compile: bool, training: torch.memory_format, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = build(composed("model=lenet5", f"compile={compile}")).classifier
    monkeypatch.setattr(classifier, "log_dict", lambda *values, **options: None)  # no trainer is there to log to
    (weight,) = (each for each in classifier.net.parameters() if each.shape == (16, 6, 5, 5))
    before = weight.detach().clone()
    with torch.inference_mode():
        classifier.on_validation_epoch_start()
        assert weight.is_contiguous(memory_format=torch.channels_last)
        images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)
        for number, _ in enumerate(classifier.watched):
            classifier.validation_step((images, labels), 0, number)
        classifier.on_validation_epoch_end()
    assert weight.is_contiguous(memory_format=training)
    assert torch.equal(weight, before)
    classifier.net(images).sum().backward()
    assert weight.grad is not None


def test_prediction_covers_a_split_in_evaluation_mode_and_its_own_order() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, 3))
    split = Split(torch.rand(1203, 1, 2, 2), torch.arange(1203))
    logits, labels = predict(net, Batches(split, 500))
    assert torch.equal(labels, split.labels)
    torch.testing.assert_close(logits, net[2](split.images.flatten(1)).detach())


@pytest.mark.slow
def test_the_compiled_step_computes_what_the_plain_one_does(composed: Composed) -> None:
    """Of the default network; with techniques: `test_all_techniques_together_train_alike_compiled_and_plain`."""
    from torch._inductor import config as inductor

    images, labels = torch.rand(20, 1, 28, 28), torch.arange(20) % 10
    found = []
    for compile in (False, True):
        classifier = build(composed(f"compile={compile}")).classifier
        classifier.on_train_epoch_start()
        with inductor.patch(compile_threads=1):
            loss = classifier.batch_loss((images, labels))
        loss.backward()
        found.append([loss.detach(), *(each.grad for each in classifier.net.parameters())])
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(plain, compiled, rtol=1e-4, atol=1e-5)
