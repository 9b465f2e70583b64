"""Epochs of several contenders in turn, so that what else the machine does falls on all of them alike."""

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

Epoch = dict[str, float]


class Contender:
    """A contender's process, started by entering it."""

    def __init__(self, name: str, options: list[str]) -> None:
        self.name = name
        self._command = [sys.executable, "-m", f"benchmarks.contenders.{name}", *options]

    def __enter__(self) -> "Contender":
        self._process: Any = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    def epoch(self) -> Epoch:
        """Let it train an epoch and return its numbers."""
        print("epoch", file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with status {self._process.wait()}: {' '.join(self._command)}")
        numbers: Epoch = json.loads(answer)
        return numbers


def interleave(names: list[str], rounds: int, options: list[str]) -> dict[str, list[Epoch]]:
    """Return each contender's epochs, the first of them for warming up; round by round, each of them once."""
    found: dict[str, list[Epoch]] = {name: [] for name in names}
    with ExitStack() as stack:
        contenders = [stack.enter_context(Contender(name, options)) for name in names]
        for _ in range(rounds + 1):
            for each in contenders:
                found[each.name].append(each.epoch())
    return found
