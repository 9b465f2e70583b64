"""When two settings are compared seed by seed, and when as groups."""


def is_paired(shared: int, ours: int, theirs: int) -> bool:
    """Whether enough seeds are shared: two at least, unless there are fewer, and half of the smaller group.

    Args:
        shared: Seeds that both settings have.
        ours: Seeds of the setting.
        theirs: Seeds of the baseline.
    """
    smaller = min(ours, theirs)
    return shared >= min(2, smaller) and 2 * shared >= smaller and shared > 0
