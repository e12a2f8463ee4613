"""What `edgecompress sensitivity` measured, as a page."""

from __future__ import annotations

from html import escape
from typing import Any

from edgecompress import __version__
from edgecompress.report.canvas import Plot, plot_style
from edgecompress.report.html import render_page
from edgecompress.report.schema import SensitivityReport
from edgecompress.report.sensitivity import sensitivity_block
from edgecompress.report.sensitivity_plot import curves_plot

KEY = "sensitivity"
TITLES = {"channels": "Sensitivity of the groups of channels", "bits": "Sensitivity of the layers to the bits of their weights"}


def render_sensitivity(name: str, values: dict[str, Any], of: str = "channels") -> str:
    """A page of its own.

    Args:
        name: of the recipe.
        values: `Sensitivity.to_dict()`.
        of: what was taken away.
    """
    found = SensitivityReport.model_validate({**values, "of": of})
    block = sensitivity_block(KEY, TITLES[of], found)
    return render_page("edgecompress sensitivity", name, [f"version {__version__}"], [], [block], {KEY: _draw(found)})


def sensitivity_figure(values: dict[str, Any]) -> str:
    """The drawing as an HTML fragment, for notebooks."""
    plot = _draw(SensitivityReport.model_validate(values))
    return f'<figure style="max-width: 480px">{escape(plot.title)}{plot.svg}</figure>'


def _draw(found: SensitivityReport) -> Plot:
    with plot_style():
        return curves_plot(KEY, found)
