"""Hydra's joblib launcher, made to outlive its workers.

A worker that is killed (say by the kernel, out of memory) breaks joblib's pool and with it all the sweep's other runs.
Here the others go on, by joblib again.
"""

import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

Jobs = list[Sequence[str]]


class ResilientLauncher(JoblibLauncher):  # type: ignore[misc]  # Hydra's plugin ships no types
    """Launches what is left after a worker's death: untouched runs first, then those that were going on, one by one.

    A run that kills its worker again while it is alone is left to the sweep's next call. So each run is begun at most
    twice after a death, and no run costs another one.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; the results of those that a death cut short are in their folders alone."""
        with warnings.catch_warnings():
            # joblib starts a worker anew that has grown by 300 MB, as after some twenty runs; no run notices.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            return self._launch(job_overrides, initial_job_idx)

    def _launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from joblib.externals.loky.process_executor import BrokenProcessPool

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
                    f"a worker was killed: {len(untouched)} runs go on, {len(begun)} are tried again after them",
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
                print(f"{self._folder(job)}: its worker was killed twice; left", file=sys.stderr, flush=True)
        return []

    def _ended(self, job: Sequence[str], since: float) -> bool:
        from regbench.run_folder import INTERRUPTED, RESULTS, is_finished, read_results

        folder = self._folder(job)
        if is_finished(folder):
            return True
        results = read_results(folder)
        stopped = results is None or results.get("status") == INTERRUPTED
        return not stopped and (folder / RESULTS).stat().st_mtime >= since

    def _is_held(self, job: Sequence[str]) -> bool:
        from regbench.run_folder import INTERRUPTED, is_held, read_results

        results = read_results(self._folder(job))
        return is_held(self._folder(job)) or (results is not None and results.get("status") == INTERRUPTED)

    def _folder(self, job: Sequence[str]) -> Path:
        if self.config is None or self.hydra_context is None:
            raise RuntimeError("launch was called before setup")
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
        HydraConfig.instance().set_config(composed)
        return Path(str(composed.hydra.sweep.dir)) / str(composed.hydra.sweep.subdir)
