"""What of a model a solve can work on: found by planning, which trains nothing."""

from __future__ import annotations

from bisect import bisect_left
from importlib import import_module
from typing import Any

from edgecompress.backend import keras
from edgecompress.errors import EdgeCompressError
from edgecompress.graph.channels import channel_graph
from edgecompress.graph.kernel_weights import model_kernels
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import TECHNIQUES, Factorize, PruneChannels, PruneNeurons, StageConfig
from edgecompress.report.words import is_fraction_correct
from edgecompress.sensitivity import Sensitivity
from edgecompress.solving.design import Cuttable, Parts
from edgecompress.stage import Outlook

HARDWARE_MULTIPLE, SMALL_MULTIPLE = 8, 4  # channels left of a layer: where speed is asked for, where only bytes are
PIECES = 8  # a layer is cut into at least so many
STEPS = 32  # fractions of channels that are told apart
FOUR_BITS = 0.875  # level of `measure_bits`: the part of 32 bits that is gone
FITTING = ("Dense", "Conv2D")  # kernels that the runtime computes with in 4 bits


def find_parts(model: keras.Model, outlook: Outlook, export: Export, metric: str, baseline: float, *, speed: bool) -> Parts:
    """What can be cut, factorized and stored in fewer bits.

    Args:
        model: the baseline; not changed.
        outlook: data and task.
        export: what the user wants of the file.
        metric: that decides.
        baseline: its value.
        speed: whether a limit on time stands.
    """
    multiple = _multiple(model, speed=speed)
    rounding: dict[str, Any] = {} if multiple == HARDWARE_MULTIPLE else {"round_to": multiple}
    low_rank = Factorize(method="svd", rank="sensitivity", metric_drop=0.01, data_aware=True, timed_as=None)
    plain = not export.edgetpu and export.also is None
    made_by = [
        {part.type for part in group.slices if part.role == "makes"} for group in channel_graph(model).groups if not group.frozen.all()
    ]
    dense = sum(types == {"Dense"} for types in made_by)
    return Parts(
        channels=_cuttable(model, "prune_channels", PruneChannels, len(made_by) - dense, rounding),
        neurons=_cuttable(model, "prune_neurons", PruneNeurons, dense, rounding),
        round_to=multiple, low_rank=_can(model, low_rank, outlook), low_bits=plain,
        float_io=plain and export.io in (None, "float32"), scale=1.0 if is_fraction_correct(metric) else max(abs(baseline), 1e-12),
    )  # fmt: skip


def kernel_sizes(model: keras.Model) -> dict[str, int]:
    """Weights of each layer that could have 4 bits."""
    sizes: dict[str, int] = {}
    for kernel in model_kernels(model):
        if kernel.weight.kind_in_file in FITTING:
            sizes[kernel.layer] = sizes.get(kernel.layer, 0) + int(kernel.variable.shape.num_elements())
    return sizes


def order_of_bits(measured: Sensitivity, sizes: dict[str, int]) -> list[tuple[str, float]]:
    """Layers with what the metric loses with each alone in 4 bits: the least loss per byte saved first, large ones before small ones.

    Args:
        measured: of `measure_bits`.
        sizes: of `kernel_sizes`.
    """
    losses = {
        curve.name: float(measured.losses(curve)[curve.levels.index(FOUR_BITS)])
        for curve in measured.curves
        if curve.name in sizes and FOUR_BITS in curve.levels
    }
    return sorted(losses.items(), key=lambda entry: (entry[1] / sizes[entry[0]], -sizes[entry[0]], entry[0]))


def _multiple(model: keras.Model, *, speed: bool) -> int:
    """What is left of a layer: coarse for kernels that work on eight channels at a time, fine for small models."""
    sizes = [group.size for group in channel_graph(model).groups if not group.frozen.all()]
    wanted = HARDWARE_MULTIPLE if speed else SMALL_MULTIPLE
    multiple = min(wanted, max(1, max(sizes, default=1) // PIECES))
    if multiple == HARDWARE_MULTIPLE:
        return multiple
    return multiple if min(sizes, default=1) >= multiple else 1  # a layer smaller than it would be an error


def _cuttable(model: keras.Model, name: str, config: Any, groups: int, rounding: dict[str, Any]) -> Cuttable:
    """The largest fraction of the channels that a technique can cut."""

    def cannot(step: int) -> bool:
        try:
            import_module(TECHNIQUES[name].module).plan(model, config(fraction=step / STEPS, criterion="l1", **rounding))
        except EdgeCompressError:
            return True
        return False

    return Cuttable(bisect_left(range(1, STEPS), True, key=cannot) / STEPS, groups) if groups else Cuttable()


def _can(model: keras.Model, config: StageConfig, outlook: Outlook) -> bool:
    """Whether a technique finds something to work on."""
    try:
        import_module(TECHNIQUES["factorize"].module).plan(model, config, outlook)
    except EdgeCompressError:
        return False
    return True
