"""All sections of a report in the order in which a reader wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from edgecompress.report.artifact_schema import Artifact, Tensor
from edgecompress.report.benchmark_words import benchmark_sentences
from edgecompress.report.classes import classes_blocks
from edgecompress.report.course import course_blocks
from edgecompress.report.document import Block, Cell, Table, make_facts, make_table, split_constant
from edgecompress.report.ladder import ladder_block
from edgecompress.report.operators import operators_block
from edgecompress.report.parity import parity_block
from edgecompress.report.schema import BenchmarkEntry, Report
from edgecompress.report.summary import comparison_block, goals_table, model_title
from edgecompress.report.words import (
    NOT_KNOWN,
    bytes_text,
    closed,
    count_text,
    date_text,
    failure_text,
    ms_text,
    percent_text,
    ratio_text,
    seconds_text,
    threads_text,
)

BENCHMARK_CIRCUMSTANCES = ("Host", "Runtime", "Kernels", "Threads", "Runs")


def blocks(report: Report) -> list[Block]:
    """The whole report below its headline numbers; sections that would be empty are left out."""
    return list(_blocks(report))


def _blocks(report: Report) -> Iterator[Block]:
    if report.goals:
        yield Block("goals", "Goals", tables=(goals_table(report),))
    yield comparison_block(report)
    yield from classes_blocks(report)
    yield from course_blocks(report)
    if report.ladder:
        yield ladder_block(report)
    yield _file_block(report)
    if report.parity is not None:
        yield parity_block(report.parity)
    if report.benchmark:
        yield _benchmark_block(report)
    if any(entry.operators for entry in report.benchmark):
        yield operators_block(report)
    yield _data_block(report)
    yield _environment_block(report)
    if report.recipe:
        text = yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True, width=100)
        yield Block("recipe", "Resolved recipe", ("What ran, with every default filled in.",), text=text)
    if report.warnings:
        yield Block("warnings", "Warnings", tuple(report.warnings))


def _file_block(report: Report) -> Block:
    """What is in the final .tflite."""
    artifact = report.artifact
    transport_ratio = ratio_text(artifact.baseline_bytes / artifact.gzip_bytes)
    transport = f"{bytes_text(artifact.gzip_bytes)}, transport ratio {transport_ratio} to the uncompressed baseline"
    facts = make_facts([
        ("File", artifact.path), ("Format", artifact.format), ("Bytes", f"{count_text(artifact.bytes)} ({bytes_text(artifact.bytes)})"),
        ("Gzip, for transport only", transport), ("Arena (planned activations)", bytes_text(artifact.arena_bytes)),
        ("Oldest TensorFlow Lite that runs it", artifact.min_runtime_version or NOT_KNOWN), ("SHA-256", artifact.sha256),
        ("Converter", report.conversion.rung if report.conversion else NOT_KNOWN),
        ("Refused before", "; ".join(report.conversion.refused) if report.conversion else NOT_KNOWN),
        ("Edge TPU", _edge_tpu_words(artifact)),
    ])  # fmt: skip
    ops = [(name, count_text(count), str(artifact.op_versions.get(name, NOT_KNOWN))) for name, count in artifact.ops.items()]
    total = sum(artifact.bytes_by_type.values())
    types = [(name, count_text(number), percent_text(number / total)) for name, number in artifact.bytes_by_type.items() if total]
    ends = [_tensor_row("input", tensor) for tensor in artifact.inputs] + [_tensor_row("output", tensor) for tensor in artifact.outputs]
    tables = [facts] + [table for table in (
        make_table(("", "Shape", "Type", ">Scale", ">Zero point", "Name"), ends, title="Inputs and outputs: real = scale (q - zero point)"),
        make_table(("Operator", ">Count", ">Version"), ops, title="Operators"),
        make_table(("Type", ">Bytes", ">Share"), types, title="Bytes of the file by type"), _weights_table(report),
        _shrink_table(artifact), _edge_tpu_table(artifact),
    ) if table.rows]  # fmt: skip
    return Block("file", "The file", tables=tuple(tables))


def _weights_table(report: Report) -> Table:
    """Type of each kernel's weights; no rows where the format alone says it."""
    weights = report.conversion.weights if report.conversion else []
    rows = [
        (
            one.name,
            one.type,
            one.wanted + _block_words(one.wanted_block),
            (one.stored or NOT_KNOWN) + _block_words(one.block),
            NOT_KNOWN if one.num_bytes is None else count_text(one.num_bytes),
            one.reason,
        )
        for one in weights
    ]
    headers = ("Layer", "Class", "Asked for", "In the file", ">Bytes", "Remark")
    return make_table(headers, rows, title="Types of weights, read from the file")


def _block_words(block: int) -> str:
    """How scales are shared, where that is not by output channel."""
    return f", blocks of {block}" if block else ""


def _shrink_table(artifact: Artifact) -> Table:
    """What each pass of the lossless shrink saved; no rows where it was not done."""
    passes = artifact.shrink.passes if artifact.shrink is not None else []
    rows = [
        (result["name"], count_text(result["changes"]), count_text(result["bytes_saved"])) for result in passes if result["bytes_saved"]
    ]
    return make_table(("Pass", ">Changes", ">Bytes saved"), rows, title="Lossless shrink: bit-identical outputs under both kernel families")


def _edge_tpu_words(artifact: Artifact) -> str:
    """How much of the file the Edge TPU would take."""
    if artifact.edgetpu is None:
        return NOT_KNOWN  # it was not asked for
    compiled = artifact.edgetpu["compiled"]
    share = f"{artifact.edgetpu['num_mapped']} of {artifact.edgetpu['num_operators']} operators map by its published rules; not run on one"
    if compiled is None:
        return f"{share}; edgetpu_compiler is not here"
    return f"{share}; compiler {compiled['compiler']}: {compiled['num_mapped']} mapped, {compiled['num_on_cpu']} on the CPU"


def _edge_tpu_table(artifact: Artifact) -> Table:
    """What would stay on the CPU beside an Edge TPU; no rows where that was not asked or is nothing."""
    rows = [
        (str(item["index"]), item["operator"], item["layer"] or NOT_KNOWN, item["fate"].replace("_", " "), item["reason"], item["rewrite"])
        for item in (artifact.edgetpu or {"left": []})["left"]
    ]
    return make_table((">Number", "Operator", "Layer", "Fate", "Reason", "Instead"), rows, title="Left to the CPU beside an Edge TPU")


def _tensor_row(end: str, tensor: Tensor) -> tuple[str, ...]:
    scale = NOT_KNOWN if tensor.scale is None else f"{tensor.scale:.6g}"
    zero_point = NOT_KNOWN if tensor.zero_point is None else str(tensor.zero_point)
    return (end, " x ".join(str(size) for size in tensor.shape), tensor.dtype, scale, zero_point, tensor.name)  # names may be long


def _benchmark_block(report: Report) -> Block:
    """Latency, with what speaks against believing it."""
    sentences = [
        "Times are of one invoke, in milliseconds; the models took turns. A percentile is shown only where there are enough runs for it. "
        "Load, allocate and first: what a program waits for once, before all other invokes."
    ]
    table, same = split_constant(benchmark_table(report), BENCHMARK_CIRCUMSTANCES)
    sentences += [f"The same in all rows: {', '.join(f'{name.lower()} {text}' for name, text in same.items())}."] if same else []
    sentences += [
        f"Measured on {machine}. Another device gives other times." for machine in dict.fromkeys(map(_machine, report.benchmark)) if machine
    ]
    sentences += benchmark_sentences(report.benchmark)
    sentences += [failure_text(entry) for entry in report.benchmark if entry.error]
    sentences += _doubts(report.benchmark)
    return Block("benchmark", "Benchmark", tuple(map(closed, sentences)), tables=(table,))


def _doubts(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """Each reason not to trust times, once, with those that it holds for, where these are not all."""
    doubted: dict[str, list[str]] = {}
    for entry in entries:
        for reason in [] if entry.trusted else dict.fromkeys(entry.distrust_reasons):
            doubted.setdefault(reason, []).append(f"{entry.model} on {entry.host}, {threads_text(entry.threads)}")
    return [
        f"Not trusted: {reason}" + (f" ({'; '.join(dict.fromkeys(places))})" if len(places) < len(entries) else "")
        for reason, places in doubted.items()
    ]


def benchmark_table(report: Report) -> Table:
    """One row per model, host and number of threads."""
    columns = ("Model", "Trust", "Host", "Runtime", "Kernels", ">Threads", ">Runs", ">p50", ">p50, 95 % interval", ">p90", ">p95", ">p99",
               ">p99.9", ">Max", ">Load", ">Allocate", ">Load and allocate", ">First", ">Peak memory")  # fmt: skip
    return make_table(columns, [_benchmark_row(report, entry) for entry in report.benchmark])


def _benchmark_row(report: Report, entry: BenchmarkEntry) -> list[str | Cell]:
    interval = NOT_KNOWN if entry.p50_interval_ms is None else " to ".join(ms_text(end) for end in entry.p50_interval_ms)
    trust = Cell("failed", "bad") if entry.error else Cell("trusted", "good") if entry.trusted else Cell("not trusted", "bad")
    both_ms = entry.init_ms if entry.load_ms is None else None  # reports of earlier versions do not part them
    start = (entry.load_ms, entry.allocate_ms, both_ms, entry.first_ms)
    times = (entry.p90_ms, entry.p95_ms, entry.p99_ms, entry.p999_ms, entry.max_ms, *start)
    return [
        model_title(report, entry.model), trust, entry.host, " ".join(filter(None, (entry.runtime, entry.runtime_version))),
        " ".join(filter(None, (entry.kernels, entry.delegate))), str(entry.threads), count_text(entry.runs),
        ms_text(entry.p50_ms), interval, *map(ms_text, times),
        bytes_text(None if entry.peak_rss_kb is None else round(1000 * entry.peak_rss_kb)),
    ]  # fmt: skip


def _machine(entry: BenchmarkEntry) -> str:
    """The host's processor, governor and temperatures, as far as known."""
    parts = [str(entry.cpu["model"])] if entry.cpu.get("model") else []
    parts += [f"{entry.cpu['cores']} cores"] if entry.cpu.get("cores") else []
    parts += [f"governor {entry.cpu['governor']}"] if entry.cpu.get("governor") else []
    return f"{entry.host} ({', '.join(parts)})" if parts else ""


def _data_block(report: Report) -> Block:
    data = report.data
    facts = [
        ("Source", data.source), ("Training samples", count_text(data.num_train)), ("Validation samples", count_text(data.num_validation)),
        ("Test samples", count_text(data.num_test)), ("Calibration samples", count_text(data.num_calibration)),
        ("Samples without labels", count_text(data.num_unlabelled)),
        ("Fingerprint", data.fingerprint),
    ]  # fmt: skip
    return Block("data", "Data", tables=(make_facts(facts),))


def _environment_block(report: Report) -> Block:
    found = report.environment
    versions = [("Python", found.python), ("TensorFlow", found.tensorflow), ("tf_keras", found.tf_keras), ("TF-MOT", found.tfmot),
                ("LiteRT", found.litert), ("NumPy", found.numpy)]  # fmt: skip
    facts = [
        ("edgecompress", report.edgecompress_version), *((name, version or NOT_KNOWN) for name, version in versions),
        ("Processor", found.cpu or NOT_KNOWN), ("Cores", count_text(found.cores)), ("Training threads", count_text(found.threads)),
        ("Seed", str(report.seed)), ("Started", date_text(report.started_at)), ("Took", seconds_text(report.seconds)),
    ]  # fmt: skip
    return Block("environment", "Environment", tables=(make_facts(facts),))
