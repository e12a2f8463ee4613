"""Numbers and verdicts in words, against hand-written expectations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.report.verdict_schema import Verdict
from edgecompress.report.words import (
    bytes_text,
    date_text,
    difference_text,
    drop_text,
    interval_text,
    metric_text,
    ms_text,
    noise_text,
    number_text,
    ratio_text,
    seconds_text,
    short_count_text,
    verdict_sentence,
)


def make_verdict(metric="accuracy", direction="rises", baseline=0.912, final=0.9108, **test):
    drop = baseline - final if direction == "rises" else final - baseline
    return Verdict.model_validate(
        {"metric": metric, "direction": direction, "test": {"baseline": baseline, "final": final, "drop": drop, **test}}
    )


def test_verdict_is_one_honest_sentence():
    verdict = make_verdict(confidence_interval=[-0.0005, 0.0029], p_value=0.21, p_value_of="McNemar", agreement=0.971)
    assert verdict_sentence(verdict) == (
        "Accuracy on the test split is 0.12 points lower (91.20 % → 91.08 %), 95 % interval -0.05 to 0.29: within noise "
        "(McNemar p = 0.21). Both models say the same for 97.1 % of the samples."
    )


def test_gain_turns_the_interval_round():
    verdict = make_verdict(final=0.914, confidence_interval=[-0.0035, -0.0005])
    assert "0.20 points higher (91.20 % → 91.40 %), 95 % interval 0.05 to 0.35: more than noise" in verdict_sentence(verdict)


def test_loss_is_never_told_in_percent():
    verdict = make_verdict("mean_squared_error", "falls", 0.0123, 0.0131, confidence_interval=[0.0002, 0.0014], p_value=0.0004)
    assert verdict_sentence(verdict) == (
        "Mean squared error on the test split is 0.0008 higher (0.0123 → 0.0131), 95 % interval 0.0002 to 0.0014: "
        "more than noise (p < 0.001)."
    )


def test_models_that_decide_nothing_correlate():
    verdict = make_verdict("mean_squared_error", "falls", 0.0123, 0.0131, correlation=0.99871)
    assert verdict_sentence(verdict).endswith("(0.0123 → 0.0131). The outputs of both correlate at 0.9987.")


def test_auc_is_told_as_it_is():
    assert "0.0012 lower (0.912 → 0.9108)" in verdict_sentence(make_verdict("auc"))


def test_verdict_without_statistics_claims_none():
    assert verdict_sentence(make_verdict()) == "Accuracy on the test split is 0.12 points lower (91.20 % → 91.08 %)."


@pytest.mark.parametrize(
    ("interval", "p_value", "words"),
    [
        ([-0.1, 0.1], 0.5, "within noise"), ([0.01, 0.1], 0.01, "more than noise"), ([-0.001, 0.1], 0.04, "at the edge of noise"),
        (None, 0.04, "more than noise"), ([0.0, 0.1], None, "within noise"), (None, None, None),
    ],
)  # fmt: skip
def test_noise_is_what_interval_and_p_value_agree_on(interval, p_value, words):
    assert noise_text(make_verdict(confidence_interval=interval, p_value=p_value)) == words


def test_no_drop_is_unchanged_and_none_is_not_measured():
    assert drop_text(make_verdict(final=0.912)) == "unchanged"
    assert interval_text(make_verdict(final=0.912, confidence_interval=[-0.0186, 0.0186])) == "95 % interval -1.86 to 1.86 points"
    verdict = make_verdict()
    assert drop_text(verdict.model_copy(update={"test": verdict.test.model_copy(update={"drop": None})})) == "not measured"


def test_interval_has_no_negative_zero():
    assert "95 % interval 0.00 to 0.29" in verdict_sentence(make_verdict(confidence_interval=[-0.00001, 0.0029]))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (57_123, "57.1 kB"), (99_960, "100 kB"), (9_996, "10.0 kB"),
     (886_120, "886 kB"), (999_600, "1.00 MB"),
     (3_488_900, "3.49 MB"), (1_250_000_000, "1.25 GB"), (3_000_000_000_000, "3000 GB"), (None, "-")],
)  # fmt: skip
def test_bytes_have_decimal_units(number, text):
    assert bytes_text(number) == text


@given(st.integers(min_value=1, max_value=10**12))
def test_bytes_are_told_to_one_percent(number):
    value, unit = bytes_text(number).split()
    told = float(value) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert told == pytest.approx(number, rel=0.0051)  # three digits: wrong by half of 1 in 100 at most


COUNTS = [(9_999, "9,999"), (18_700_000, "18.7 M"), (349_100, "349 k"), (3_500_000_000, "3.50 G"), (None, "-")]
LATENCIES = [(0.03712, "0.0371"), (1.30421, "1.304"), (12.5, "12.500"), (1234.56, "1,234.6"), (None, "-")]


@pytest.mark.parametrize(("number", "text"), COUNTS)
def test_large_counts_are_short(number, text):
    assert short_count_text(number) == text


@pytest.mark.parametrize(("time_ms", "text"), LATENCIES)
def test_short_latencies_keep_a_tenth_of_a_microsecond(time_ms, text):
    assert ms_text(time_ms) == text


def test_small_numbers_read_naturally():
    assert metric_text("accuracy", 0.91084) == "91.08 %"
    assert metric_text("mean_absolute_error", 0.0012345) == "0.001234"
    assert metric_text("accuracy", None) == "-"
    assert difference_text("accuracy", -0.0063) == "-0.63"
    assert difference_text("mean_squared_error", 0.5) == "+0.5"
    assert (ratio_text(3.937), ratio_text(12.34)) == ("3.94x", "12.3x")
    durations = [seconds_text(seconds) for seconds in (0.23, 59.9, 61.2, 3599.7, 7260)]
    assert durations == ["0.2 s", "59.9 s", "1 min 1 s", "1 h 0 min", "2 h 1 min"]


@pytest.mark.parametrize(
    ("number", "text"), [(5558270.0, "5,558,270"), (70, "70"), (0.02, "0.02"), (1234.5678, "1,234.57"), (0.1 + 0.2, "0.3")]
)
def test_numbers_have_no_exponent(number, text):
    assert number_text(number) == text


def test_dates_keep_their_time_zone_and_other_texts_stay():
    assert date_text("2026-01-31T09:12:44+00:00") == "2026-01-31 09:12 UTC"
    assert date_text("2026-01-31T09:12:44+02:00") == "2026-01-31 09:12 UTC+02:00"
    assert date_text("yesterday") == "yesterday"
