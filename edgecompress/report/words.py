"""Numbers and findings in words, the same in Markdown, HTML and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from edgecompress.report.schema import BenchmarkEntry
from edgecompress.report.verdict_schema import Verdict

# What stands where nothing was measured.
NOT_KNOWN = "-"
PREFIXES = ((1e3, "k"), (1e6, "M"), (1e9, "G"))
LABELS = {"auc": "AUC", "top_5_accuracy": "top-5 accuracy"}


def is_fraction_correct(metric: str) -> bool:
    """Whether `metric` is a fraction of right answers, which people read in percent; a loss or an error is not."""
    return "accuracy" in metric or metric in ("precision", "recall")


def metric_label(metric: str) -> str:
    """`mean_squared_error` as "mean squared error"."""
    return LABELS.get(metric, metric.replace("_", " "))


def metric_title(metric: str) -> str:
    """The label with its first letter large, and the others as they are: "AUC", "Mean squared error"."""
    label = metric_label(metric)
    return label[:1].upper() + label[1:]


def metric_text(metric: str, value: float | None) -> str:
    """A metric's value: percent for fractions of right answers, four significant digits for the rest."""
    if value is None:
        return NOT_KNOWN
    return f"{100 * value:.2f} %" if is_fraction_correct(metric) else f"{value:.4g}"


def difference_text(metric: str, difference: float | None) -> str:
    """A signed difference of two values, in the unit that `difference_unit` names."""
    if difference is None:
        return NOT_KNOWN
    return f"{100 * difference:+.2f}" if is_fraction_correct(metric) else f"{difference:+.4g}"


def difference_unit(metric: str) -> str:
    """What stands behind the title of a column of differences: ", points" (percent points) for fractions of right answers."""
    return ", points" if is_fraction_correct(metric) else ""


def _three_digits(number: int) -> tuple[str, str]:
    """A number from 1,000 on as three digits and the prefix that scales them."""
    size, prefix = next((number / factor, prefix) for factor, prefix in PREFIXES if number < 999.5 * factor or prefix == PREFIXES[-1][1])
    return f"{size:.2f}" if size < 9.995 else f"{size:.1f}" if size < 99.95 else f"{size:.0f}", prefix


def missed_text(misses: Mapping[str, float], limits: Mapping[str, float], drop: float | None) -> str:
    """Each limit that is missed, and by which part of it: "size_kb by 17.5 %"; by how much, where the limit is 0.

    Args:
        misses: limit -> by how much it is missed, as a fraction of it; weighed otherwise for metric_drop, see `search.goals`.
        limits: limit -> its value.
        drop: of the metric; None where it is not known, as before a training.
    """
    parts, limit = {name: percent_text(miss) for name, miss in misses.items() if miss > 0}, limits.get("metric_drop")
    if "metric_drop" in parts and drop is not None and limit is not None:
        parts["metric_drop"] = percent_text((drop - limit) / abs(limit)) if limit else f"{drop:.4g}"
    return ", ".join(f"{name} by {text}" for name, text in parts.items())


def bytes_text(number: int | None) -> str:
    """Bytes with three digits and a decimal unit: 1 kB = 1,000 bytes."""
    if number is None or number < 1000:
        return NOT_KNOWN if number is None else f"{number} B"
    digits, prefix = _three_digits(number)
    return f"{digits} {prefix}B"


def count_text(number: int | None) -> str:
    """A count with thousands separators."""
    return NOT_KNOWN if number is None else f"{number:,}"


def short_count_text(number: int | None) -> str:
    """A large count with three digits: 39.6 M."""
    if number is None or number < 10_000:
        return count_text(number)
    return " ".join(_three_digits(number))


def number_text(value: float) -> str:
    """Any number with six digits, thousands separated; a larger one with all of them, never as 5.5e+06."""
    return f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:,.6g}"


def percent_text(fraction: float | None) -> str:
    """A fraction in percent with one decimal."""
    return NOT_KNOWN if fraction is None else f"{100 * fraction:.1f} %"


def ms_text(time_ms: float | None) -> str:
    """Milliseconds, to 0.1 microseconds where that is less than a thousandth of the value."""
    if time_ms is None:
        return NOT_KNOWN
    return f"{time_ms:.4f}" if time_ms < 1 else f"{time_ms:.3f}" if time_ms < 100 else f"{time_ms:,.1f}"


def seconds_text(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def failure_text(entry: BenchmarkEntry) -> str:
    """Which measurement failed and why."""
    return f"{entry.model} on {entry.host}, {threads_text(entry.threads)}, was not measured: {entry.error}"


def threads_text(number: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} thread" if number == 1 else f"{number} threads"


def closed(sentence: str) -> str:
    """`sentence` with a full stop at its end, if it has none."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def date_text(moment: str) -> str:
    """An ISO 8601 moment to the minute, with its time zone; any other text as it is."""
    try:
        return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return moment


def ratio_text(ratio: float) -> str:
    """A factor: two digits after the point below ten, one above."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def drop_text(verdict: Verdict) -> str:
    """How far the final model is from the baseline: "0.12 points lower"."""
    drop = verdict.test.drop
    if drop is None:
        return "not measured"
    if drop == 0:
        return "unchanged"
    lower = (drop > 0) == (verdict.direction == "rises")
    size = f"{100 * abs(drop):.2f} points" if is_fraction_correct(verdict.metric) else f"{abs(drop):.4g}"
    return f"{size} {'lower' if lower else 'higher'}"


def interval_text(verdict: Verdict) -> str | None:
    """The interval around what `drop_text` says, in its direction and unit: "95 % interval -0.05 to 0.29"."""
    interval = verdict.test.confidence_interval
    if interval is None:
        return None
    if verdict.test.drop is not None and verdict.test.drop < 0:  # the sentence speaks of a gain
        interval = (-interval[1], -interval[0])
    # Adding 0 turns a rounded -0.0 into 0.0.
    low, high = (f"{round(100 * end, 2) + 0:.2f}" if is_fraction_correct(verdict.metric) else f"{end + 0:.4g}" for end in interval)
    unit = " points" if verdict.test.drop == 0 and is_fraction_correct(verdict.metric) else ""  # else it stands beside the drop
    return f"95 % interval {low} to {high}{unit}"


def noise_text(verdict: Verdict) -> str | None:
    """What interval and p-value say together; None when there is neither."""
    interval, p_value = verdict.test.confidence_interval, verdict.test.p_value
    signs = [] if interval is None else [interval[0] <= 0 <= interval[1]]
    signs += [] if p_value is None else [p_value >= 0.05]
    if not signs:
        return None
    if all(signs):
        return "within noise"
    return "at the edge of noise" if any(signs) else "more than noise"


def verdict_sentence(verdict: Verdict) -> str:
    """One sentence: the drop, its interval, whether it is noise and by which test."""
    values = f"{metric_text(verdict.metric, verdict.test.baseline)} → {metric_text(verdict.metric, verdict.test.final)}"
    sentence = f"{metric_title(verdict.metric)} on the test split is {drop_text(verdict)} ({values})"
    interval, noise = interval_text(verdict), noise_text(verdict)
    if interval:
        sentence += f", {interval}"
    if noise:
        p_value = verdict.test.p_value
        named = f"{verdict.test.p_value_of} " if verdict.test.p_value_of else ""
        sentence += f": {noise}" + (f" ({named}p {_p_value_text(p_value)})" if p_value is not None else "")
    if verdict.test.agreement is not None:
        sentence += f". Both models say the same for {percent_text(verdict.test.agreement)} of the samples"
    if verdict.test.correlation is not None:
        sentence += f". The outputs of both correlate at {verdict.test.correlation:.4f}"
    return f"{sentence}."


def _p_value_text(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"
