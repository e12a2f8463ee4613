"""Source `digits`: 1,797 handwritten digits that come with scikit-learn, 8 x 8 values in 0..16."""

from __future__ import annotations

import numpy as np

from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.source import Part, Source


def read() -> Source:
    """The digits, without a test part of their own.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
    """
    from sklearn.datasets import load_digits  # takes a second that other sources need not pay

    digits = load_digits()
    name = "scikit-learn's digits"
    inputs = ArrayInputs(digits.images.astype(np.uint8), name)  # whole numbers, stored as float64 there
    return Source(Part(inputs, digits.target.astype(np.int64), name), class_names=[str(digit) for digit in range(10)])
