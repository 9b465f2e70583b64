"""The long half of the reliability tests: real processes, real signals, real full disks. `make test-faults` runs it."""
