"""Hydra's joblib launcher, made to survive the death of its workers.

A worker that is killed (say by the kernel, out of memory) breaks joblib's pool and with it all other runs of the sweep.
Here joblib is started again for the others.
"""

import sys
import time
import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

from regbench.storage.lock import is_held
from regbench.storage.results import is_finished, read_status
from regbench.storage.schema import INTERRUPTED, RESULTS
from regbench.sweeps.signals import watch_parent

Jobs = list[Sequence[str]]


class ResilientLauncher(JoblibLauncher):  # type: ignore[misc]  # Hydra's plugin ships no types
    """Launches what is left after a worker's death: runs not yet started first, then those under way, one by one.

    A run that kills its worker again while it is alone is left to the sweep's next call. So each run is started at most
    twice after a death, and no run costs another one.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; the results of those that a death cut short are in their folders alone."""
        with warnings.catch_warnings():
            # joblib replaces a worker that has grown by 300 MB, as after some twenty runs; no run is affected.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            self.joblib["initializer"] = watch_parent
            return self._launch(job_overrides, initial_job_idx)

    def _launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        untouched, suspects = list(job_overrides), Jobs()
        while untouched:
            began = time.time()
            try:
                returned = super().launch(untouched, initial_job_idx)
            except BrokenProcessPool:
                left = [job for job in untouched if not self._ended(job, since=began)]
                begun = [job for job in left if self._is_held(job)] or left[:1]
                suspects += begun
                untouched = [job for job in left if job not in begun]
                print(
                    f"a worker was killed: {len(untouched)} runs continue, {len(begun)} are retried after them",
                    file=sys.stderr,
                    flush=True,
                )
            else:
                if not suspects:
                    return list(returned)
                break
        for job in suspects:
            try:
                super().launch([job], initial_job_idx)
            except BrokenProcessPool:
                print(
                    f"{self._folder(job)}: its worker was killed twice; left for the next call",
                    file=sys.stderr,
                    flush=True,
                )
        return []

    def _ended(self, job: Sequence[str], since: float) -> bool:
        folder = self._folder(job)
        if is_finished(folder):
            return True
        return read_status(folder) not in {None, INTERRUPTED} and (folder / RESULTS).stat().st_mtime >= since

    def _is_held(self, job: Sequence[str]) -> bool:
        folder = self._folder(job)
        return is_held(folder) or read_status(folder) == INTERRUPTED

    def _folder(self, job: Sequence[str]) -> Path:
        if self.config is None or self.hydra_context is None:
            raise RuntimeError("launch was called before setup")
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
        HydraConfig.instance().set_config(composed)
        return Path(str(composed.hydra.sweep.dir)) / str(composed.hydra.sweep.subdir)
