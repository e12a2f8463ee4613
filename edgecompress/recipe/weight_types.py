"""How many bits the weights of a layer have in the file: what formats and `export.layers` say of it. Free of TensorFlow."""

from typing import Literal

WeightType = Literal["float32", "int8", "int4", "int2"]

BITS: dict[str, int] = {"float32": 32, "int8": 8, "int4": 4, "int2": 2}

# Format -> type that its weights have, for formats whose weights this package writes itself.
LOW_BIT_FORMATS: dict[str, WeightType] = {
    "int4": "int4", "int2": "int2", "weight_only_int8": "int8", "weight_only_int4": "int4", "weight_only_int2": "int2",
}  # fmt: skip

MIXABLE: dict[str, WeightType] = {"int8": "int8", "dynamic": "int8", **LOW_BIT_FORMATS}
"""Formats in which single layers may have other types -> the type of all others."""

BLOCK_FORMATS = ("int4", "dynamic", "int2")
"""Formats whose 4-bit weights may have block-wise scales: activations are float32, and rounded in the operator."""
