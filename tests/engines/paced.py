"""A regularizer that changes no number: a test sets its pace while a sweep runs."""

import time
from pathlib import Path

from torch import Tensor

from regbench.regularizers import Regularizer

PACE = "pace"


class Paced(Regularizer):
    """Takes as many seconds for each batch as the file `pace` of the working folder says."""

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if Path(PACE).exists():
            time.sleep(float(Path(PACE).read_text()))
        return images, targets


def set_pace(folder: Path, seconds: float) -> None:
    """Let the batches of runs that were started in a folder take so long from now on."""
    folder.mkdir(exist_ok=True)
    (folder / "next_pace").write_text(str(seconds))
    (folder / "next_pace").replace(folder / PACE)
