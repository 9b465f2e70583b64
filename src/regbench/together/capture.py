"""`Repeated`: a step repeated over a chunk of batches; on CUDA, recorded once and replayed as one launch."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

# A graph records what kernels were chosen; the first steps choose them, and fill caches.
_WARM_UP = 3


class Repeated:
    """Takes a step for each batch of a chunk.

    On CUDA the step is recorded as a graph: it reads its batch and rates from memory that stays where it is, by a
    counter on the device, so a replay needs nothing of the host.

    Args:
        step: Takes `(M, N)` places and `(M, 2)` rates; all that it changes stays where it is.
        device: Where it works.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], None], device: torch.device) -> None:
        self._step = step
        self._counts = self._records = device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = 0
        self._batches = self._rates = torch.empty(0)
        self._counter = torch.zeros(1, dtype=torch.int64, device=device)

    def __call__(self, batches: Tensor, rates: Tensor) -> None:
        """Take the steps.

        Args:
            batches: `(steps, M, N)`.
            rates: `(steps, M, 2)`.
        """
        if not self._counts:
            for batch, rate in zip(batches, rates, strict=True):
                self._step(batch, rate)
            return
        self._hand_over(batches, rates)
        for _ in range(len(batches)):
            if self._graph is not None:
                self._graph.replay()
            elif self._warm < _WARM_UP:
                self._warm += 1
                self._aside(self._next)
            elif self._records:
                self._record()
            else:
                self._next()

    def _hand_over(self, batches: Tensor, rates: Tensor) -> None:
        """Copy the chunk to where the graph reads; a longer chunk than any before needs a new place and graph."""
        if len(batches) > len(self._batches):
            self._batches, self._rates, self._graph = batches.clone(), rates.clone(), None
        else:
            self._batches[: len(batches)].copy_(batches)
            self._rates[: len(rates)].copy_(rates)
        self._counter.zero_()

    def _next(self) -> None:
        self._step(self._batches.index_select(0, self._counter)[0], self._rates.index_select(0, self._counter)[0])
        self._counter.add_(1)

    def _aside(self, function: Callable[[], None]) -> None:
        """Call on another stream than the default one, as what is recorded later will be."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            function()
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self) -> None:
        """Record a step and take it; where it cannot be recorded, take it and all later ones as they are."""
        try:
            self._graph = self._recorded()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._records = False
            reason = str(error).splitlines()[0]
            print(f"steps are not recorded as a CUDA graph, which is slower: {reason}", file=sys.stderr, flush=True)
            self._next()
        else:
            self._graph.replay()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._next()
        return graph
