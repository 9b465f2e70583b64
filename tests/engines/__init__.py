"""Sweeps on real clusters: SLURM and Ray, of two nodes on this machine; run by `make test-engines`."""
