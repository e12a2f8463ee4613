"""Keras model to .tflite: a ladder of ways into the converter, each result checked and run before it counts."""

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from edgecompress.backend import keras
from edgecompress.causes import root_cause
from edgecompress.device import DeviceFault
from edgecompress.errors import ConversionError, StorageError
from edgecompress.export.chosen_layers import choose_kernels, quantize_kernels
from edgecompress.export.compatibility import CALIBRATED, check_calibration, check_model, is_quantize_aware
from edgecompress.export.layer_tensors import layer_tensors
from edgecompress.export.mixed import LayerWeights, write_weights
from edgecompress.export.rungs import RUNGS, Settings, Source, from_concrete_function, has_loop, trace
from edgecompress.export.set_ranges import set_ranges
from edgecompress.export.verify import verify
from edgecompress.export.weight_types import is_mixed, wanted_types
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.samples import Samples, num_samples
from edgecompress.store import storage_errors
from edgecompress.tflite import Tflite, parse, refuses
from edgecompress.tflite.kernel_writing import Computes
from edgecompress.tflite.operators import float_operators

MAX_LISTED = 10  # operators that a warning lists


@dataclass(frozen=True)
class Conversion:
    """A converted model.

    Attributes:
        content: bytes of the .tflite file.
        rung: the way into the converter that worked.
        refused: one line for each way that was tried before, with the cause.
        seconds: wall time.
        warnings: what the file does that its format does not promise, such as operators left in float.
        tensors: layer of the model -> index of the tensor of `content` that holds its output.
        weights: type and bytes of each kernel, where the recipe chooses them layer by layer or below 8 bits.
    """

    content: bytes
    rung: str
    refused: list[str]
    seconds: float
    warnings: list[str]
    tensors: dict[str, int]
    weights: list[LayerWeights] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    """What one climb of the ladder gave."""

    content: bytes
    rung: str
    refused: list[str]
    weights: list[LayerWeights] = field(default_factory=list)


def convert(
    model: keras.Model, export: Export, *, calibration: Samples | None, progress: Progress, runtime: str | None = None
) -> Conversion:
    """Converts a model, with a fixed batch of 1. The same model and samples give the same bytes.

    A quantize-aware model becomes int8 with the ranges of its training; samples are used only if some operator has no range.

    Args:
        model: a Functional or Sequential model; quantize-aware ones become int8 only.
        export: the format.
        calibration: float32 [n, ...], by name for several inputs, preprocessed; needed for int8 and int16x8, ignored by other formats.
        progress: gets a bar, counted in calibration samples where there are any.
        runtime: what the file must run on, such as "tflite-runtime==2.14.0"; None: any.

    Returns:
        The file, which one of the installed runtimes has loaded and run.

    Raises:
        ConversionError: samples that cannot calibrate, a format that the model does not take, an operator that TensorFlow Lite lacks, or
            a file that the runtime is too old for.
        StorageError: the temporary folder cannot be written.
        RecipeError: a pattern of `export.only` or `export.layers` matches nothing that it could.
    """
    started = time.monotonic()
    check_model(model, export)
    needs_samples = export.format in CALIBRATED and not is_quantize_aware(model)
    samples = check_calibration(calibration, model, export) if needs_samples else None
    with progress.task(f"converting to {export.format}", total=None if samples is None else num_samples(samples)) as bar:
        # TensorFlow Lite Micro computed per-channel FULLY_CONNECTED wrongly, then refused it (tflite-micro PR 2602).
        # The Edge TPU's compiler is older than they are.
        per_tensor_dense = export.also == "c_array" or export.edgetpu
        settings = Settings(
            export.format, export.io_type, samples, on_sample=bar.advance, per_tensor_dense=per_tensor_dense,
            per_tensor=export.kernels == "per_tensor",
        )  # fmt: skip
        source = _trace(model)
        if is_mixed(export):
            file = _convert_mixed(source, settings, export)
        elif export.format == "int8" and samples is None:
            file = _convert_quantize_aware(source, settings, export, calibration)
        elif export.format == "dynamic":
            file = _convert_dynamic(source, settings, export, runtime)
        else:
            file = _climb(source, settings, export, _setting_ranges(settings, export))
    parsed = parse(file.content)
    if runtime is not None and (too_new := refuses(parsed, runtime)):
        raise ConversionError(f"target.runtime must know all operators of the file. Received: {runtime}, too old for {', '.join(too_new)}.")
    in_float = float_operators(parsed) if export.format in CALIBRATED and "float32" not in export.layers.values() else []
    return Conversion(
        file.content, file.rung, file.refused, time.monotonic() - started, [*_warn_of_float(in_float), *_warn_of_types(file.weights)],
        layer_tensors(model, parsed), file.weights,
    )  # fmt: skip


def _trace(model: keras.Model) -> Source:
    """The inference function; a model that cannot even be called stands on no rung."""
    try:
        return trace(model)
    except Exception as error:  # whatever a layer's own code raises
        raise ConversionError(f"the model cannot be traced for conversion: {root_cause(error)}") from error


def _climb(source: Source, settings: Settings, export: Export, finish: Callable[[bytes], bytes] | None = None) -> _File:
    """Tries the rungs in turn; `finish` works on the bytes of each before they are checked."""
    if settings.samples is not None:
        _refuse_loops(source, settings)
    io_type = _io_type(source, export)
    temporary, refused = Path(tempfile.gettempdir()), dict[str, str]()
    for name, rung in RUNGS.items():
        try:
            with storage_errors(temporary):
                with warnings.catch_warnings(action="ignore"):  # the converter's; what matters is measured on its result
                    content = rung(source, settings)
                content = content if finish is None else finish(content)
                verify(content, io_type=io_type)
        except StorageError:  # a full disk says nothing about the model
            raise
        except Exception as error:  # the converter raises what its layers raise: any kind is this rung's refusal
            refused[name] = root_cause(error)
        else:
            return _File(content, name, [f"{name}: {cause}" for name, cause in refused.items()])
    raise ConversionError(f"the model cannot be converted to {export.format}: {_join_causes(refused)}.")


def _io_type(source: Source, export: Export) -> str | None:
    """What all in- and outputs must be; None where the model's own are integers."""
    tensors = [*source.model.inputs, *source.model.outputs]
    return export.io_type if all(tensor.dtype.is_floating for tensor in tensors) else None


def _setting_ranges(settings: Settings, export: Export) -> Callable[[bytes], bytes] | None:
    """What gives a file the ranges that `export.ranges` asks for; None where those are the converter's."""
    if export.ranges == "min_max" or settings.samples is None:
        return None
    return partial(set_ranges, samples=settings.samples, export=export)


def _join_causes(refused: dict[str, str]) -> str:
    """The cause, or, where the rungs disagree, all of them."""
    causes = list(refused.values())
    return causes[0] if len(set(causes)) == 1 else "; ".join(f"{name}: {cause}" for name, cause in refused.items())


def _refuse_loops(source: Source, settings: Settings) -> None:
    """Raises ConversionError for a file with a loop: calibrating one kills TensorFlow 2.21 with a segmentation fault."""
    if not has_loop(source):
        return
    try:
        tflite = parse(from_concrete_function(source, settings.as_float()))
    except Exception as error:  # the converter raises what its layers raise
        raise ConversionError(f"the model cannot be converted to {settings.format}: {root_cause(error)}.") from error
    if _loops(tflite):
        raise ConversionError(
            f"layers of a model for the format {settings.format} must not loop, as GRU and SimpleRNN do: "
            "the converter cannot calibrate the operator WHILE. Build them with unroll=True, or choose the format dynamic."
        )


def _loops(tflite: Tflite) -> bool:
    """Whether a file has a loop that calibration would not survive."""
    return any(code.name == "WHILE" for code in tflite.operator_codes)


def _convert_quantize_aware(source: Source, settings: Settings, export: Export, calibration: Samples | None) -> _File:
    """Trained ranges alone; with samples too, if that leaves fewer operators in float.

    An in- or output that only a layer without ranges touches, such as an LSTM, stays float without samples, which is refused. A loop
    cannot be calibrated: what is beside it keeps its trained ranges.
    """

    def calibrated() -> _File:
        return _climb(source, replace(settings, samples=check_calibration(calibration, source.model, export)), export)

    try:
        file = _climb(source, settings, export)
    except ConversionError:
        if calibration is None:
            raise
        return calibrated()
    tflite = parse(file.content)
    left = len(float_operators(tflite))
    if not left or calibration is None or _loops(tflite):
        return file
    other = calibrated()
    return other if len(float_operators(parse(other.content))) < left else file


def _convert_dynamic(source: Source, settings: Settings, export: Export, runtime: str | None) -> _File:
    """All layers by the converter, or the chosen ones; with per-tensor Dense kernels if the target runtime knows no others."""
    kernels = choose_kernels(source.model, export.only) if export.only else []

    def attempt(per_tensor_dense: bool) -> _File:
        if not kernels:
            return _climb(source, replace(settings, per_tensor_dense=per_tensor_dense), export)
        return _climb(source, settings.as_float(), export, partial(quantize_kernels, kernels=kernels, per_tensor_dense=per_tensor_dense))

    file = attempt(per_tensor_dense=False)
    if runtime is not None and refuses(parse(file.content), runtime):
        return attempt(per_tensor_dense=True)
    return file


def _convert_mixed(source: Source, settings: Settings, export: Export) -> _File:
    """Weights of the types that the recipe asks for: in the converter's int8 file, or in its float32 file."""
    wanted = wanted_types(source.model, export)
    in_float = _climb(source, settings.as_float(), Export(format="float32"))
    integer = export.format == "int8"
    file = _climb(source, settings, export, _setting_ranges(settings, export)) if integer else in_float
    computes: Computes = "integer" if integer else "float" if export.format.startswith("weight_only") else "hybrid"
    content, weights = write_weights(file.content, in_float.content, wanted, computes)
    try:
        with storage_errors(Path(tempfile.gettempdir())):
            verify(content, io_type=_io_type(source, export))
    except DeviceFault as fault:
        raise ConversionError(f"the model cannot be converted to {export.format} with these weights: {fault.reason}.") from fault
    return replace(file, content=content, weights=weights)


def _warn_of_types(weights: list[LayerWeights]) -> list[str]:
    """Warnings that list the layers whose weights have another type than was asked for, or scales per output channel, not per block."""
    others = [f"{one.name} {one.stored or 'as it was'}" for one in weights if one.stored != one.wanted]
    whole = [one.name for one in weights if one.block != one.wanted_block]
    groups = {"layers whose weights have another type than export asks for": others, "layers without block-wise scales": whole}
    return [f"{words}: {len(names)}, namely {_listed(names)}; the reasons stand in the report" for words, names in groups.items() if names]


def _warn_of_float(operators: list[str]) -> list[str]:
    """A warning that lists the operators left in float; [] where there are none."""
    if not operators:
        return []
    return [f"operators that compute in float, not in integers: {len(operators)}, namely {_listed(operators)}"]


def _listed(names: list[str]) -> str:
    """The first ones, in one phrase."""
    return ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
