"""Mixed precision taken out of a model's configuration: a compressed model starts from float32."""

from typing import Any

from edgecompress.models.allowed import dictionaries

MIXED = ("mixed_float16", "mixed_bfloat16")
POLICIES = ("Policy", "DTypePolicy")  # of Keras 2, of Keras 3


def use_float32(config: Any) -> bool:
    """Replaces mixed precision by float32, in place; the weights are float32 already. Returns whether there was any."""
    places = [(part, "dtype") for part in dictionaries(config)]
    places += [(part["config"], "name") for part in dictionaries(config) if part.get("class_name") in POLICIES]
    mixed = [(holder, key) for holder, key in places if isinstance(holder, dict) and holder.get(key) in MIXED]
    for holder, key in mixed:
        holder[key] = "float32"
    return bool(mixed)
