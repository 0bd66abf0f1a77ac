"""One self-contained HTML page from the folders of results."""

from __future__ import annotations

from neurodeploy.report.page import write_report

__all__ = ["write_report"]
