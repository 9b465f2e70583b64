"""Reads run folders: unchanged ones from their study's table, all others from their files; both are checked alike."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from regbench.storage.results import DamagedError, RunResults, read_results
from regbench.storage.schema import FINISHED
from regbench.study.contradictions import MismatchError, check_possible
from regbench.study.gathered import Table
from regbench.study.remembered import Shared, pack, unpack
from regbench.study.run_folders import Run, read_run
from regbench.study.stamps import clock_of, is_settled, size_of_predictions, stamp_of
from regbench.study.verification import Verified, check_scores, read_verified

_CHUNK = 500
# Runs read anew after which the table is written, so that reading that is broken off was not for nothing.
_SAVED_AFTER = 20_000
# Predictions from this size on are read on all cores: below it, threads only wait for each other.
_LARGE = 1 << 17


@dataclass(frozen=True)
class Reading:
    """What a run's folder gave.

    Attributes:
        folder: The run's.
        results: How it ended; None where that is not known.
        run: Its files, where it is finished and nothing is wrong with them.
        verified: What its predictions gave; None without any.
        error: What is wrong with it.
    """

    folder: Path
    results: RunResults | None = None
    run: Run | None = None
    verified: Verified | None = None
    error: DamagedError | None = None


def read_folders(root: Path, folders: Sequence[Path], studies: Sequence[Path]) -> Iterator[Reading]:
    """Read run folders in their order.

    What is read anew of finished runs is added to the table of their study, but for a lone run's.

    Args:
        root: The folder that was asked for.
        folders: The run folders below it, or it alone.
        studies: The folders of studies at or below it; the table of a run that belongs to none is the root's.
    """
    shared = Shared()
    if folders == [root]:
        yield from _read_chunk(folders, None, shared)
        return
    homes = _homes(root, folders, set(studies))
    present: dict[Path, list[Path]] = {}
    for folder, home in zip(folders, homes, strict=True):
        present.setdefault(home, []).append(folder)
    for home, together in itertools.groupby(zip(folders, homes, strict=True), key=lambda each: each[1]):
        runs = [folder for folder, _ in together]
        with contextlib.closing(_Gathering(home, present[home], shared)) as gathering:
            for start in range(0, len(runs), _CHUNK):
                yield from _read_chunk(runs[start : start + _CHUNK], gathering, shared)
                gathering.save(_SAVED_AFTER)
            gathering.save()


class _Gathering:
    """A study's table while its runs are read.

    Args:
        home: The study's folder.
        present: All its run folders.
        shared: What runs have in common.
    """

    def __init__(self, home: Path, present: Sequence[Path], shared: Shared) -> None:
        self._table = Table(home)
        self._home = home
        self._present = present
        self._shared = shared
        self._now = clock_of(home)
        self._added = 0

    def find(self, folders: Sequence[Path], stamps: Sequence[bytes | None]) -> dict[Path, tuple[Run, Verified | None]]:
        """Return what is remembered of the runs whose files have these stamps."""
        names = [self._name(folder) for folder in folders]
        entries = self._table.find({name: stamp for name, stamp in zip(names, stamps, strict=True) if stamp})
        found = {}
        for folder, name in zip(folders, names, strict=True):
            if name not in entries:
                continue
            with contextlib.suppress(ValueError):  # what no run leaves counts as not remembered
                found[folder] = unpack(folder, entries[name], self._table, self._shared)
        return found

    def remember(self, run: Run, verified: Verified | None, stamp: bytes | None) -> None:
        """Add a run that was read after its files had this stamp."""
        if self._now is None or stamp is None or not is_settled(stamp, self._now) or stamp_of(run.folder) != stamp:
            return
        packed = pack(run, verified, stamp)
        if packed is not None:
            self._table.add(self._name(run.folder), *packed)
            self._added += 1

    def save(self, least: int = 1) -> None:
        """Write the table where so many runs were added to it."""
        if self._added >= least:
            self._table.save([self._name(folder) for folder in self._present])
            self._added = 0

    def close(self) -> None:
        """Read no more."""
        self._table.close()

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self._home).as_posix()


def _read_chunk(folders: Sequence[Path], gathering: _Gathering | None, shared: Shared) -> Iterator[Reading]:
    stamps = [stamp_of(folder) for folder in folders]
    known = gathering.find(folders, stamps) if gathering is not None else {}
    read = {folder: _read(folder, shared) for folder in folders if folder not in known}
    finished = [
        (each.run, stamp)
        for folder, stamp in zip(folders, stamps, strict=True)
        if (each := read.get(folder)) is not None and each.run is not None
    ]
    answers = _answers(finished)
    for run, stamp in finished:
        answer = answers[run.folder]
        if gathering is not None and not isinstance(answer, DamagedError):
            gathering.remember(run, answer, stamp)
    for folder in folders:
        if folder in known:
            yield _judged(*known[folder])
        elif (whole := read[folder].run) is not None:
            yield _judged(whole, answers[folder])
        else:
            yield read[folder]


def _read(folder: Path, shared: Shared) -> Reading:
    """Read a run's files but for its predictions."""
    try:
        results = read_results(folder)
        if results is None or results.status != FINISHED:
            return Reading(folder, results)
        shared.share_provenance(results)
        return Reading(folder, results, read_run(folder, results, shared.recipes))
    except DamagedError as error:
        return Reading(folder, error=error)


def _answers(finished: Sequence[tuple[Run, bytes | None]]) -> dict[Path, Verified | DamagedError | None]:
    """Read the predictions of these runs, given with their stamps."""
    runs = [run for run, _ in finished]
    folders = [run.folder for run in runs]
    if max((size_of_predictions(stamp) for _, stamp in finished), default=0) < _LARGE:
        return dict(zip(folders, map(_answer, runs), strict=True))
    with ThreadPoolExecutor() as pool:
        return dict(zip(folders, pool.map(_answer, runs), strict=True))


def _answer(run: Run) -> Verified | DamagedError | None:
    try:
        return read_verified(run.folder, run.recipe.config.get("metrics"))
    except DamagedError as error:
        return error


def _judged(run: Run, answer: Verified | DamagedError | None) -> Reading:
    """Compare a run's numbers with each other and with what its predictions gave."""
    try:
        check_possible(run)
        if isinstance(answer, DamagedError):
            raise answer
        if answer is not None:
            check_scores(run.results, answer.scores)
    except MismatchError as error:
        return Reading(run.folder, run.results, error=error)
    except DamagedError as error:
        return Reading(run.folder, error=error)
    return Reading(run.folder, run.results, run, answer)


def _homes(root: Path, folders: Sequence[Path], studies: set[Path]) -> list[Path]:
    """Return for each run folder the one whose table has it: the nearest study above it, or the root."""
    homes = {root: root}

    def home(folder: Path) -> Path:
        if folder not in homes:
            homes[folder] = folder if folder in studies else home(folder.parent)
        return homes[folder]

    return [home(folder.parent) for folder in folders]
