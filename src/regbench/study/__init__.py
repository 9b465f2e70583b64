"""Finished runs become tables, statistics, figures and a report; nothing here trains, and nothing here imports torch."""

from regbench.study.results import Study, load

__all__ = ["Study", "load"]
