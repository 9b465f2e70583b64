"""Where Hydra looks for sweepers, which it knows by the module that they are defined in."""

from regbench.sweeps import sweepers, until_sure


class GridSweeper(sweepers.GridSweeper):
    """`regbench.sweeps.sweepers.GridSweeper`, under the name by which Hydra finds it."""


class UntilSureSweeper(until_sure.UntilSureSweeper):
    """`regbench.sweeps.until_sure.UntilSureSweeper`, under the name by which Hydra finds it."""
