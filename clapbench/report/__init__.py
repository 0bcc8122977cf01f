"""What people read of a sweep: `build` writes its tables, figures and page, `show` prints it."""

from clapbench.report.writer import build, show

__all__ = ["build", "show"]
