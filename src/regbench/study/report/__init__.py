"""The report on a study or on one run: tables, figures and one page that needs nothing but itself."""

from regbench.study.report.left_out import list_left_out
from regbench.study.report.run_report import is_run, write_run_report
from regbench.study.report.study_report import Told, write_report
from regbench.study.report.written import print_report, report_folder, report_on

__all__ = [
    "Told",
    "is_run",
    "list_left_out",
    "print_report",
    "report_folder",
    "report_on",
    "write_report",
    "write_run_report",
]
