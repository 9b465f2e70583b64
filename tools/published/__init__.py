"""Published numbers and claims beside ours: the tables of ``docs/published.md``."""
