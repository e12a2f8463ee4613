"""What `edgecompress sensitivity` measured, as a page."""

from __future__ import annotations

from typing import Any

from edgecompress import __version__
from edgecompress.report.canvas import plot_style
from edgecompress.report.html import render_page
from edgecompress.report.schema import SensitivityReport
from edgecompress.report.sensitivity import curves_plot, sensitivity_block


def render_sensitivity(name: str, values: dict[str, Any]) -> str:
    """A page of its own.

    Args:
        name: of the recipe.
        values: `Sensitivity.to_dict()`.
    """
    found = SensitivityReport.model_validate(values)
    with plot_style():
        drawings = {"sensitivity": curves_plot("sensitivity", found)}
    block = sensitivity_block("sensitivity", "Sensitivity of the groups of channels", found)
    return render_page("edgecompress sensitivity", name, [f"version {__version__}"], [], [block], drawings)
