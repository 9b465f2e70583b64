"""A set's images are held once; each member's splits are those of a run alone."""

from collections.abc import Callable
from typing import Any

import torch

from regbench.runs.parts import build
from regbench.together.images import Images, Selection

Composed = Callable[..., dict[str, Any]]


def test_splits_are_those_of_a_run_alone_and_share_one_memory(composed: Composed) -> None:
    configs = [composed("model=mlp_small", f"seed={seed}") for seed in range(2)]
    images = Images(build(configs[0]).data, torch.device("cpu"))
    for config in configs:
        alone, member = build(config).data, build(config).data
        alone.setup()
        images.give_to(member)
        member.setup()
        assert member.sha256 == alone.sha256
        for name, (own, labels) in alone.splits.items():
            selected = member.splits[name].images
            assert torch.equal(selected.cpu(), own)
            assert torch.equal(member.splits[name].labels, labels)
        batches = zip(member.training_batches(), alone.training_batches(), strict=True)
        for ours, theirs in batches:
            assert torch.equal(torch.add(ours.images, 0), theirs.images)
            assert torch.equal(ours.labels, theirs.labels)


def test_a_selection_is_used_as_the_tensor_that_it_becomes() -> None:
    whole = torch.rand(10, 1, 4, 4)
    places = torch.tensor([7, 2, 2, 9])
    selection, tensor = Selection(whole, places), whole[places]
    assert (len(selection), selection.shape) == (4, tensor.shape)
    assert torch.equal(torch.cat([selection, selection]), torch.cat([tensor, tensor]))
    assert torch.equal(selection.mean(0), tensor.mean(0))
    assert torch.equal(selection[torch.tensor([0, 3])], tensor[[0, 3]])
    assert torch.equal(selection[1:3].places, places[1:3])
    assert [part.places.tolist() for part in selection.split([1, 3])] == [[7], [2, 2, 9]]
    assert selection.index_select(0, torch.tensor([3, 0])).places.tolist() == [9, 7]
