"""The run folder on disk: atomic writing, the format's names, results and configuration, the lock. Imports no torch."""
