"""Speed beside hand-written loops: `python -m benchmarks` measures, README.md explains."""
