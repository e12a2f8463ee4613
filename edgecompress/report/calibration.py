"""What `edgecompress calibration` found, as words and a table for terminal and page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgecompress.report.document import Block, make_table


def calibration_block(values: Mapping[str, Any]) -> Block:
    """What is wrong with the samples, and how many are enough.

    Args:
        values: `CalibrationCheck.to_dict()`.
    """
    findings = values["findings"] or ["Nothing is wrong with the calibration samples."]
    rows = [
        (f"{number:,}", "exact" if ratio == math.inf else f"{ratio:.1f}")
        for number, ratio in zip(values["numbers"], values["snr_db"], strict=True)
    ]
    enough = f"{values['enough']:,} samples are enough: more of them gain less than half a decibel."
    if values["enough"] == values["numbers"][-1]:
        enough = f"{values['enough']:,} samples may not be enough: the last step still gained. Raise data.calibration."
    table = make_table((">Samples", ">SNR of the output, dB"), rows)
    return Block("calibration", "Calibration", (*findings, enough), plots=("calibration",), tables=(table,))
