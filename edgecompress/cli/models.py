"""Commands that start from a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgecompress.cli.lists import destinations, names_of, thread_counts
from edgecompress.cli.options import AllowCode, AllowEnv, AsJson, ModelFile, Quiet, RecipeFile, Settings, SshConfig, bars, checked_recipe
from edgecompress.cli.outcome import raise_for_devices
from edgecompress.cli.output import STANDARD_OUTPUT, check_place, say, show, show_json
from edgecompress.destination import LOCAL
from edgecompress.quiet import without_noise

FAMILIES: tuple[Literal["xnnpack", "builtin"], ...] = ("xnnpack", "builtin")


def inspect(
    model: ModelFile,
    allow_code: AllowCode = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a .tflite as a page: treemap of its bytes, operators.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows the layers or operators of a model: shapes, parameters, MACs, types, bytes."""
    if html is not None:
        check_place(html, model, suffix=".html")
    with without_noise():
        from edgecompress.inspection import inspect as inspect_model
        from edgecompress.inspection import inspection_table

        found = inspect_model(model, allow_code=allow_code)
    if html is not None:
        from edgecompress.report.lens import write_lens

        write_lens(found, html)
    show_json(found) if as_json else show(inspection_table(found))


def convert(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=".keras or .h5 file, or SavedModel folder")],
    format: Annotated[
        Literal[
            "float32", "float16", "dynamic", "int8", "int16x8", "int4", "int2", "weight_only_int8", "weight_only_int4", "weight_only_int2"
        ],
        typer.Option(help="Types of the .tflite."),
    ] = "int8",
    io: Annotated[Literal["int8", "uint8", "float32"] | None, typer.Option(help="Type of in- and outputs.", show_default=False)] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Samples for int8 and int16x8: .npz with x or x_train, or folder of images", show_default=False),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="1/255", help="Factor on the samples. Absent: 1/255 for images, else 1.", show_default=False)
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="0.5", help="Subtrahend after scaling: one number, or one per channel: 0.5,0.4,0.4", show_default=False),
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="0.5", help="Divisor after that, like --mean.", show_default=False)] = None,
    runtime: Annotated[
        str | None, typer.Option(metavar="tflite-runtime==2.14.0", help="What the file must run on.", show_default=False)
    ] = None,
    shrink: Annotated[bool, typer.Option("--shrink/--no-shrink", help="Make the file smaller, bit for bit the same.")] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write. Absent: beside MODEL.", show_default=False),
    ] = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Converts a Keras model to a .tflite: only the export, no training."""
    if output is not None:
        check_place(output, model, data)
    preprocess = _preprocess(scale, mean, std)
    with without_noise():
        from edgecompress.one_model import convert as convert_model

        artifact = convert_model(
            model, format=format, io=io, data=data, preprocess=preprocess, runtime=runtime, shrink=shrink, out=output,
            allow_code=allow_code, progress=bars(quiet=quiet),
        )  # fmt: skip
    for warning in artifact["warnings"]:
        say(f"Warning: {artifact['path']}: {warning}", style="yellow")
    calibration = f", calibrated on {artifact['calibration']}" if artifact["calibration"] else ""
    show_json(artifact) if as_json else show(f"{artifact['path']}: {artifact['format']}, {artifact['bytes']:,} bytes{calibration}")


def shrink(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=".tflite file, also one from elsewhere")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The file to write. Absent: MODEL_shrunk.tflite beside MODEL.", show_default=False
        ),
    ] = None,
    keep_names: Annotated[bool, typer.Option("--keep-names", help="Keep the names of tensors inside the graph.")] = False,
    keep_metadata: Annotated[bool, typer.Option("--keep-metadata", help="Keep the converter's records, description and ranges.")] = False,
    round_to: Annotated[
        int,
        typer.Option(metavar="8", min=1, max=1024, help="Keep numbers of channels at multiples of this, if that is measured to be faster."),
    ] = 1,
    tolerance: Annotated[
        float,
        typer.Option(metavar="1e-6", min=0, max=0.1, help="Let float outputs differ by this much of the largest. 0: not in one bit."),
    ] = 0.0,
    inputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".npz with input_0, input_1, ...: samples to compare on.", show_default=False)
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", min=4, max=10**6, help="Compare on so many made-up inputs at least.")] = 6,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Makes a .tflite smaller without changing one bit of its outputs; no data, no training."""
    if output is not None:
        check_place(output, inputs)
    from edgecompress.proof import Trials
    from edgecompress.shrinking import shrink_file, shrink_table
    from edgecompress.tflite.shrink import Settings

    settings = Settings(keep_names, keep_metadata, round_to, tolerance)
    wanted = Trials(least=trials, most=max(trials, Trials.most), inputs=inputs, tolerance=tolerance)
    found = shrink_file(model, output, settings=settings, trials=wanted, progress=bars(quiet=quiet))
    show_json(found) if as_json else show(shrink_table(found))


def _preprocess(scale: str | None, mean: str | None, std: str | None) -> dict[str, Any]:
    """The options as the `preprocess` block of a recipe."""
    lists = {name: [_number(part) for part in text.split(",")] for name, text in (("mean", mean), ("std", std)) if text is not None}
    return lists if scale is None else {"scale": _number(scale), **lists}


def _number(text: str) -> float | str:
    """A number, or the text as it is: a fraction, or what the check of the block refuses."""
    try:
        return float(text)
    except ValueError:
        return text.strip()


def evaluate(
    model: ModelFile,
    recipe: RecipeFile,
    settings: Settings = None,
    allow_code: AllowCode = False,
    allow_env: AllowEnv = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measures a .tflite or Keras model on the test data of a recipe."""
    checked = checked_recipe(recipe, settings, allow_env)
    with without_noise():
        from edgecompress.one_model import evaluate as evaluate_model
        from edgecompress.one_model import evaluation_table

        found = evaluate_model(model, checked, allow_code=allow_code, progress=bars(quiet=quiet))
    show_json(found) if as_json else show(evaluation_table(found))


def benchmark(
    model: Annotated[Path, typer.Argument(metavar="MODEL_OR_RUN", help=".tflite file, or run folder")],
    threads: Annotated[str, typer.Option(metavar="1,2", help="Numbers of threads, each measured; all: 1 to the cores.")] = "1",
    runs: Annotated[int, typer.Option(metavar="N", min=50, max=1_000_000, help="Timed invokes; p95 needs 200, p99 needs 1000.")] = 200,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="DEST", callback=destinations,
            help="Measure there over ssh, and merge it in the run's report. Repeatable; local: here.",
        ),
    ] = None,
    ssh_config: SshConfig = None,
    kernels: Annotated[
        str, typer.Option(metavar="xnnpack,builtin", help="Kernel families: xnnpack is the runtime's default; both: in turns.")
    ] = "xnnpack",
    operators: Annotated[bool, typer.Option("--operators", help="Then time each operator alone, as a one-operator model.")] = False,
    samples: Annotated[int, typer.Option(metavar="N", min=0, help="Count right answers there over so many test samples of the run.")] = 0,
    allow_code: AllowCode = False,
    minutes: Annotated[
        float, typer.Option(metavar="M", min=0, max=1440, help="Then run the first model so long without a pause; 0: do not.")
    ] = 0.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Limit for one step of a model, beside what its runs need; then it is stopped.")
    ] = 900.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there; - prints one JSON object.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Measures latency and memory, here or on other machines. Several models of a run are timed in turns.

    Exit code 4: a model or a host failed; the others are measured all the same.
    """
    from edgecompress.benchmarking import Measurement, benchmark_table

    measurement = Measurement(
        threads="all" if threads == "all" else thread_counts(threads), runs=runs, timeout_s=timeout, minutes=minutes, operators=operators,
        kernels=names_of(kernels, FAMILIES, "kernels must be xnnpack, builtin, or both with a comma between"),
    )  # fmt: skip
    if json_file is not None and json_file != STANDARD_OUTPUT:
        check_place(json_file, model, suffix=".json")
    from edgecompress.host_benchmark import benchmark_places
    from edgecompress.report.benchmark_words import benchmark_sentences

    entries = benchmark_places(
        model, host or [LOCAL], measurement, samples=samples, allow_code=allow_code, ssh_config=ssh_config, progress=bars(quiet=quiet)
    )
    if json_file is not None:
        show_json({"benchmark": [entry.model_dump(mode="json") for entry in entries]}, json_file)
    if json_file != STANDARD_OUTPUT:
        show(benchmark_table(entries), *benchmark_sentences(entries))
    raise_for_devices(entries)
