"""One run from its configuration to its results: training, resuming, loading, evaluation, export."""
