"""Training by Lightning: the module, its loop, checkpoints, schedules, what is recorded and shown."""
