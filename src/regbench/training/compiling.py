"""A compiled function that says once when it is compiled again and again."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Beyond one for each shape of a batch; the compiler itself gives up after eight.
_MOST_REPEATS = 3


class Compiled:
    """Compiles a function of images and targets, once for each shape of these.

    The compiler works anew whenever a Python value changes that the function reads, since it builds it in as a
    constant: a hook's own number that changes from step to step costs seconds at each, until the compiler gives up.

    Args:
        function: What is compiled.
        find_numbers: Returns the names of the Python numbers that have changed, to be named.
        options: As `torch.compile` takes them.
    """

    def __init__(
        self, function: Callable[[Tensor, Tensor], Any], find_numbers: Callable[[], list[str]], **options: Any
    ) -> None:
        self._function = function
        self._find_numbers = find_numbers
        self._compiled = torch.compile(self._traced, dynamic=False, **options)
        self._shapes: set[torch.Size] = set()
        self._traces = 0
        self._told = False

    def __call__(self, images: Tensor, targets: Tensor) -> Any:
        """Return what the function returns."""
        result = self._compiled(images, targets)
        if not self._told:
            self._shapes.add(images.shape)
            if self._traces > len(self._shapes) + _MOST_REPEATS:
                self._tell()
        return result

    def _traced(self, images: Tensor, targets: Tensor) -> Any:
        self._count()
        return self._function(images, targets)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # as torch has it
    def _count(self) -> None:
        """Count the times that the compiler reads the function: as a constant, this is called then alone."""
        self._traces += 1

    def _tell(self) -> None:
        self._told = True
        numbers = ", ".join(self._find_numbers()) or "a number that a hook or layer reads"
        print(
            f"compile: the training step was compiled {self._traces} times, since a Python number changes from step "
            f"to step ({numbers}); each time takes seconds: keep it as a tensor, torch.tensor(…), changed in place, or "
            "give compile=false",
            file=sys.stderr,
            flush=True,
        )
