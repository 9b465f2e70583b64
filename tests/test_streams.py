import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regbench.seeding import batch_order, stratified_order, stream_seed


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
    share=st.floats(0, 1),
)
def test_every_beginning_holds_each_class_in_its_share_within_one_image(
    counts: list[int], seed: int, share: float
) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    order = stratified_order(labels, seed)
    assert order.sort().values.tolist() == list(range(len(labels)))
    length = round(share * len(labels))
    found = labels[order[:length]].bincount(minlength=len(counts))
    # A class may be one image ahead or behind, and so may the classes beside it that decide where the beginning ends.
    for count, present in zip(counts, found.tolist(), strict=True):
        assert abs(present - count * length / len(labels)) <= 2


def test_batch_order_is_a_function_of_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = batch_order(100, seed=3, epoch=7)
    torch.manual_seed(2)
    assert torch.equal(first, batch_order(100, seed=3, epoch=7))
    assert first.sort().values.tolist() == list(range(100))
    assert not torch.equal(first, batch_order(100, seed=3, epoch=8))
    assert not torch.equal(first, batch_order(100, seed=4, epoch=7))


def test_streams_of_different_purposes_never_share_a_seed() -> None:
    names = [(seed, name, epoch) for seed in range(20) for name in ("order", "noise") for epoch in range(20)]
    names += [(seed, *name) for seed in range(20) for name in (("split",), ("initialization", "c1"))]
    seeds = [stream_seed(*name) for name in names]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbouring_numbers_do_not_run_together() -> None:
    assert stream_seed(1, "order", 11) != stream_seed(1, "order1", 1)
    assert stream_seed(1, 11) != stream_seed(11, 1)
