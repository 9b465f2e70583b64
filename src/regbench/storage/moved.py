"""Moved classes that configurations name: their old paths keep working, and no move renames a run."""

# By module: where stored configurations and other people's YAMLs say that a class is, and where it is now.
_MOVED = {"regbench.sources": "regbench.data.sources", "regbench.schedulers": "regbench.training.schedules"}
_STABLE = {now: then for then, now in _MOVED.items()} | {"regbench.data.module": "regbench.data"}


def current_target(path: str) -> str:
    """Return where a class is now that a configuration calls by `path`."""
    return _renamed(path, _MOVED)


def stable_target(path: str) -> str:
    """Return the path by which a class counts in a run's identity: the one that it was first stored with."""
    return _renamed(path, _STABLE)


def _renamed(path: str, modules: dict[str, str]) -> str:
    module, dot, name = path.rpartition(".")
    return f"{modules.get(module, module)}{dot}{name}"
