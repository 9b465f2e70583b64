"""`Chunks`: several batches of a loader as one, for loops that do something costly around each batch."""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

STEPS_PER_CHUNK = 200


class _Loader(Protocol):
    """What is iterated over by batches, of which it knows the number."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Chunk:
    """Consecutive batches of a loader, to be iterated over once.

    A batch is fetched when its turn comes, so a chunk takes no more memory than one batch.

    Args:
        batches: Yields them.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = iter(batches)

    def __iter__(self) -> Iterator[Any]:
        return self._batches


class Chunks:
    """Iterates over a loader by chunks of `STEPS_PER_CHUNK` batches; the last one may be shorter.

    Args:
        loader: Where the batches come from. Each pass over the chunks is one pass over it.
    """

    def __init__(self, loader: _Loader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return math.ceil(len(self.loader) / STEPS_PER_CHUNK)

    def __iter__(self) -> Iterator[Chunk]:
        batches = iter(self.loader)
        for _ in range(len(self)):
            yield Chunk(itertools.islice(batches, STEPS_PER_CHUNK))
