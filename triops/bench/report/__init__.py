"""One page of runs that needs no network and nothing beside it: styles, script and plots are in the file."""

from triops.bench.report.page import to_html

__all__ = ["to_html"]
