"""What a program costs: memory grows with members, the number of operations does not."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from regbench.together.capture import Repeated
from regbench.together.program import Program
from regbench.together.stack import Member, Stack
from regbench.together.updates import update_of
from tests.pretended_device import DEVICE, draw_on_the_device, on_the_device_alone
from tests.together.test_equal_to_alone import CPU, OPTIMIZERS, TECHNIQUES, Prepared, read

Composed = Callable[..., dict[str, Any]]
CASES = [
    *(("lenet5", *each) for each in zip(TECHNIQUES, itertools.cycle(OPTIMIZERS), strict=False)),
    *(("mlp_small", "[batchnorm,dropout,weight_decay]", each) for each in OPTIMIZERS),
]


class Counting(TorchDispatchMode):
    """Counts the operations that reach the device's kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[str(function)] += 1
        return function(*args, **(kwargs or {}))


def prepared(
    composed: Composed, members: int, *overrides: str, device: torch.device = CPU
) -> tuple[Program, torch.Tensor, list[Prepared]]:
    configs = [composed(*overrides, "dataset.train_size=200", f"seed={seed}") for seed in range(members)]
    images, runs = read(configs, torch.float32, device)
    first = runs[0]
    update = update_of(first.optimizer)
    stack = Stack(
        {row: Member(each.net, each.optimizer) for row, each in enumerate(runs)}, members, update, images.device
    )
    program = Program(first.net, first.regularizer, stack, update, images, 10, compile=False)
    return program, torch.stack([each.parts.data.splits["train"].images.places[:20] for each in runs]), runs  # type: ignore[attr-defined]  # selections


@pytest.mark.parametrize(("model", "regularizer", "optimizer"), CASES)
def test_a_step_launches_as_much_for_any_members_and_needs_nothing_of_the_host(
    model: str, regularizer: str, optimizer: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_on_the_device(monkeypatch)
    counts = []
    for members in (2, 7):
        chosen = (f"model={model}", f"regularizer={regularizer}", f"optimizer={optimizer}")
        program, places, _ = prepared(composed, members, *chosen, device=DEVICE)
        places, rates = places.to(DEVICE), torch.full((2, members, 2), 0.01, dtype=torch.float64, device=DEVICE)
        program.take_steps(places, [10, 10], rates)  # makes room for what steps need
        with on_the_device_alone(), Counting() as counting:
            program.take_steps(places, [10, 10], rates)
        counts.append(counting.calls)
    assert counts[0] == counts[1]
    assert counts[0].total() > 50


def test_memory_is_a_rows_worth_for_each_member(composed: Composed) -> None:
    def held(members: int) -> int:
        program, *_ = prepared(composed, members, "model=lenet5", "regularizer=batchnorm")
        stack = program.stack
        kept = (stack.weights, stack.gradients, *stack.state.values(), *stack.buffers.values())
        return sum(each.nbytes for each in kept)

    two, four, eight = held(2), held(4), held(8)
    assert four == 2 * two
    assert eight == 4 * two
    _, _, (run,) = prepared(composed, 1, "model=lenet5", "regularizer=batchnorm")
    weights = sum(each.numel() for each in run.net.parameters()) * 4
    assert held(1) == pytest.approx(4 * weights, rel=0.05)  # weights, gradients and Adam's two moments


def test_a_members_own_network_and_optimizer_are_its_row(composed: Composed) -> None:
    program, places, runs = prepared(composed, 3, "model=mlp_small", "regularizer=batchnorm")
    before = [each.net.state_dict()["h1.weight"].clone() for each in runs]
    program.take_steps(places, [20], torch.full((1, 3, 2), 0.01, dtype=torch.float64))
    program.stack.show()
    for row, each in enumerate(runs):
        state = each.net.state_dict()
        assert torch.equal(state["h1.weight"], program.stack.parameters["h1.weight"][row])
        assert not torch.equal(state["h1.weight"], before[row])
        assert int(state["h1_before.0.num_batches_tracked"]) == 1
        assert all(float(kept["step"]) == 1 for kept in each.optimizer.state.values())


def test_a_chunk_is_handed_over_and_counted_as_a_graph_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of a recorded graph, taken here as they are: each reads the batch and rates that the counter names."""
    seen: list[tuple[list[int], list[float]]] = []
    repeated = Repeated(lambda batch, rate: seen.append((batch.tolist(), rate.tolist())), torch.device("cpu"))
    graph = type("Graph", (), {"replay": lambda self: repeated._next()})()
    for switch in ("_counts", "_records"):
        monkeypatch.setattr(repeated, switch, True)
    monkeypatch.setattr(repeated, "_aside", lambda function: function())
    monkeypatch.setattr(repeated, "_recorded", lambda: graph)
    batches, rates = torch.arange(5).view(5, 1), torch.arange(5.0).view(5, 1)
    for part in (slice(0, 5), slice(2, 4), slice(0, 1)):
        repeated(batches[part], rates[part])
    assert seen == [([n], [float(n)]) for n in (0, 1, 2, 3, 4, 2, 3, 0)]


def test_steps_that_cannot_be_recorded_are_taken_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    seen: list[int] = []
    repeated = Repeated(lambda batch, rate: seen.append(int(batch)), torch.device("cpu"))
    for switch in ("_counts", "_records"):
        monkeypatch.setattr(repeated, switch, True)
    monkeypatch.setattr(repeated, "_aside", lambda function: function())
    monkeypatch.setattr(repeated, "_recorded", refuse)
    repeated(torch.arange(6).view(6, 1), torch.zeros(6, 1))
    assert seen == list(range(6))
    assert capsys.readouterr().err.count("not recorded as a CUDA graph") == 1
