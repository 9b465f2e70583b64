"""Where Hydra looks for launchers, which it knows by the module that they are defined in."""

from regbench.sweeps import launcher, on_ray, slurm


class ResilientLauncher(launcher.ResilientLauncher):
    """`regbench.sweeps.launcher.ResilientLauncher`, under the name by which Hydra finds it."""


class TogetherLauncher(launcher.TogetherLauncher):
    """`regbench.sweeps.launcher.TogetherLauncher`, likewise."""


class SlurmLauncher(slurm.SlurmLauncher):
    """`regbench.sweeps.slurm.SlurmLauncher`, likewise."""


class RayLauncher(on_ray.RayLauncher):
    """`regbench.sweeps.on_ray.RayLauncher`, likewise."""
