"""The loops that are compared. Each runs in a process of its own, one epoch at a time, when the harness says so."""
