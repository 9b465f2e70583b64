"""Sweeps, many runs from one command: the plan, the launcher, stop signals, and the `train` command itself."""
