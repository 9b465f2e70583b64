"""A worker that trains runs of one kind together; see `regbench.together`."""

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from regbench.config.errors import describe_error
from regbench.runs.engine import Engine
from regbench.runs.parts import Parts, build
from regbench.storage.configs import read_planned
from regbench.storage.lock import HeldError, LockError, is_locked
from regbench.sweeps.work import Worker
from regbench.together.forming import Formed, form_groups
from regbench.together.group import Group, TooManyMembersError
from regbench.together.images import Images
from regbench.together.kinds import obstacle
from regbench.together.trial import find_obstacle

_LOCK = ".together.lock"


class TogetherWorker(Worker):
    """Trains planned runs, those of one kind together, then the others one by one.

    Args:
        study: The study's folder.
        names: The runs' folders below it.
        members: How many runs are trained together at most.
    """

    def __init__(self, study: Path, names: Sequence[str], members: int) -> None:
        super().__init__(study, names)
        self._members = members
        self._alone: set[str] = set()
        self._images: tuple[Any, Images] | None = None

    def work(self, most: int | None = None, *, wait: bool = False) -> bool:
        """Train what nobody else works on; return whether nothing was left to take. As in `Worker`."""
        trained = 0
        # One worker at a time forms a group, until each member's folder is held: else two would share its members.
        forming = FileLock(self.study / _LOCK)
        while True:
            with forming:
                groups = form_groups(self.study, self._waiting(), self._members)
                trained += self._train(groups[0], forming.release) if groups else 0
            if not groups:
                return super().work(most, wait=wait)
            if most is not None and trained >= most:
                return False

    def _waiting(self) -> dict[str, Mapping[str, Any]]:
        """Return the configurations of the runs that may be trained together, as far as those tell, and are not."""
        found: dict[str, Mapping[str, Any]] = {}
        obstacles: dict[str, list[str]] = {}
        for name in self.names:
            if name in self._alone or not self.waits(name) or is_locked(self.study / name):
                continue
            config = read_planned(self.study, name).config
            if reason := obstacle(config):
                obstacles.setdefault(reason, []).append(name)
            else:
                found[name] = config
        for reason, names in obstacles.items():
            self._leave_alone(names, reason)
        return found

    def _train(self, formed: Formed, started: Callable[[], None]) -> int:
        """Train a group; return how many runs were trained."""
        names = list(formed.runs.values())
        config = read_planned(self.study, names[0]).config
        torch.set_num_threads(config["threads"])
        try:
            parts, other = (
                build({**config, "compile": False, "seed": seed}) for seed in (config["seed"], config["seed"] + 1)
            )
            images = self._images_of(config, parts)
            reason = find_obstacle(parts, other, images)
        except Exception as error:  # each run tells it in its own folder
            reason = describe_error(error)
        if reason is not None:
            self._leave_alone(names, reason)
            return 0
        print(
            f"{self.study}: {len(names)} runs are trained together, from {self._progress.name_of(names[0])} on",
            flush=True,
        )
        try:
            Group(formed, images, len(parts.data.classes), compile=config["compile"]).train(self._take_member, started)
        except TooManyMembersError:
            self._members = len(formed.names) // 2
            message = (
                f"{self.study}: no memory for {len(formed.names)} members; tried again with at most {self._members}"
            )
            print(message, file=sys.stderr, flush=True)
            return 0
        finally:
            # A group's graphs and stacks refer to one another, and such garbage keeps the device's memory.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        self._alone.update(names)
        return len(names)

    def _take_member(self, name: str, engine: Engine) -> None:
        try:
            self.take(name, engine)
        except HeldError:  # another worker was quicker
            return
        except LockError as error:
            print(error, file=sys.stderr, flush=True)

    def _images_of(self, config: Mapping[str, Any], parts: Parts) -> Images:
        """Return the images of a run's data set, read once for all groups that train on them."""
        described = {key: value for key, value in config["dataset"].items() if key != "split_seed"}
        device = device_of(config["trainer"]["accelerator"])
        if self._images is None or self._images[0] != (described, device):
            self._images = None  # before others are read
            self._images = (described, device), Images(parts.data, device)
        return self._images[1]

    def _leave_alone(self, names: Sequence[str], reason: str) -> None:
        self._alone.update(names)
        others = f" and {len(names) - 1} other runs" if len(names) > 1 else ""
        first = self._progress.name_of(names[0])
        print(f"{self.study}: {first}{others} trained one by one: {reason}", file=sys.stderr, flush=True)


def device_of(accelerator: str) -> torch.device:
    """Return the device that Lightning takes for a trainer's accelerator.

    Raises:
        ValueError: It is none on which runs are trained together, or is not there.
    """
    if accelerator == "cpu" or (accelerator == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if accelerator in {"gpu", "cuda", "auto"} and torch.cuda.is_available():
        return torch.device("cuda")
    raise ValueError(f"trainer.accelerator: expected cpu, or gpu where PyTorch sees one; received {accelerator}")
