"""Finished runs become tables, statistics, figures and a report; nothing here trains or imports torch."""

from regbench.study.results import Study, load

__all__ = ["Study", "load"]
