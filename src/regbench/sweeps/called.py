"""The process that trains a sweep for `regbench.sweep`: the same command, which tells its caller the study's folder.

Called as `python -m regbench.sweeps.called FILE CALLER ARGUMENT…`: FILE gets the folder once the command has ended,
CALLER is the calling process's number.
"""

import sys
from pathlib import Path

from regbench.sweeps.command import main
from regbench.sweeps.first_checks import FirstChecks
from regbench.sweeps.signals import watch_parent


def train_for_caller(told: Path, caller: int, arguments: list[str]) -> None:
    """Run the command `regbench train` with these arguments; ends the program as it does.

    Args:
        told: The file that gets the study's folder, if there is one and the command came to its end.
        caller: The calling process's number; the sweep stops soon after that process is gone.
        arguments: Of the command.
    """
    watch_parent(caller)
    sys.argv = ["regbench train", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code in {0, 1} and FirstChecks.sweep is not None:
            told.write_text(str(FirstChecks.sweep), encoding="utf-8")
        raise


if __name__ == "__main__":
    train_for_caller(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
