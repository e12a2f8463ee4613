"""Other ranges of activations than the converter's: measured with a float twin of its file, written into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from edgecompress.device.fault import DeviceFault
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ConversionError
from edgecompress.export import ranges
from edgecompress.export.histogram import Histogram
from edgecompress.export.ranges import Range
from edgecompress.recipe.schema import Export
from edgecompress.samples import Samples, each, names_of_inputs, num_samples, ordered
from edgecompress.tflite import parse
from edgecompress.tflite.requantize import ends_of, float_twin, free_groups, pools_to_means, set_scales
from edgecompress.tflite.requantize.scales import Scale

THREADS = 1  # the same sums on every machine


def set_ranges(content: bytes, samples: Samples, export: Export) -> bytes:
    """An int8 file with ranges chosen by `export.ranges`; a global average pool becomes MEAN, so that its output has a range of its own.

    In- and outputs of the model keep the range of the samples: nothing that a sensor gives or a reader compares is to be clipped.

    Args:
        content: the converter's file.
        samples: [n, ...] that show the ranges, by name for several inputs.
        export: with `ranges`.

    Raises:
        ConversionError: an operator of the file that cannot be computed in float.
    """
    content = pools_to_means(content)
    ends = ends_of(content)
    groups = [group for group in free_groups(content) if not ends & set(group)]
    histograms = measure(content, samples, [index for group in groups for index in group])
    choose = partial(ranges.percentile, percent=export.percentile) if export.ranges == "percentile" else getattr(ranges, export.ranges)
    scales: dict[int, Scale] = {}
    for group in groups:
        scale = Scale.of_range(*_union([choose(histograms[index]) for index in group]))
        scales |= dict.fromkeys(group, scale)
    return set_scales(content, scales)


def _union(found: Sequence[Range]) -> Range:
    """The range that holds all of these: tensors that share a scale share it."""
    return min(low for low, _ in found), max(high for _, high in found)


def measure(content: bytes, samples: Samples, tensors: Sequence[int]) -> Mapping[int, Histogram]:
    """What activations of an int8 file are before they are rounded.

    Args:
        content: the file.
        samples: [n, ...], by name for several inputs.
        tensors: of the main subgraph.

    Returns:
        Tensor -> histogram over all samples.

    Raises:
        ConversionError: an operator of the file that cannot be computed in float.
    """
    twin = float_twin(content)
    histograms = {index: Histogram() for index in tensors}
    names = names_of_inputs(parse(content), each(lambda values: values.shape[1:], samples), "the model")
    try:
        model = TfliteModel(twin.content, threads=THREADS, kernels="builtin", keep_tensors=True)
        for row in range(num_samples(samples)):
            arrays = ordered(each(lambda values, row=row: values[row : row + 1], samples), names)
            model.invoke([array.astype(spec.dtype) for array, spec in zip(arrays, model.inputs, strict=True)])
            for index, histogram in histograms.items():
                values = model.get_tensor(twin.tensors[index])
                if not np.isfinite(values).all():
                    raise ConversionError(
                        f"activations must be finite on the calibration samples. Received: NaN or infinity for sample {row}."
                    )
                histogram.add(values)
    except DeviceFault as fault:
        raise ConversionError(f"export.ranges must be min_max for a file that cannot be computed in float: {fault}.") from fault
    return histograms
