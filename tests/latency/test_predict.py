"""Predictions against a machine whose law is known."""

import math

import numpy as np
import pytest

from edgecompress.errors import DataError, ModelError
from edgecompress.latency import load_table, predict, predict_latency
from edgecompress.latency.fit import Curve, Fitted
from edgecompress.latency.workload import workloads
from edgecompress.latency.writing import SmallNetwork


@pytest.fixture(scope="module")
def table(law_table):
    return load_table(law_table)


def network_of(format, widths, side=20):
    """Convolutions of these widths, and a classifier."""
    network = SmallNetwork(format)
    x = network.input(1, side, side, 3)
    for width in widths:
        x = network.filter_depthwise(network.convolve(x, width, (3, 3)), (3, 3), 2)
    return network.finish(network.connect(network.average(x), 10))


@pytest.mark.parametrize("format", ["float32", "int8"])
@pytest.mark.parametrize("widths", [(8, 16), (24, 24, 48), (7, 33, 64), (40, 80)])
def test_networks_that_the_table_has_not_seen_are_near_the_law(table, law, format, widths):
    content = network_of(format, widths)
    found = predict(content, table)
    assert found.p50_ms == pytest.approx(law.network_ms(workloads(content)), rel=0.1)
    assert found.low_ms <= found.p50_ms <= found.high_ms
    assert found.relative_error < 0.1
    assert (found.uncovered, found.uncovered_operators, found.threads) == (0.0, (), 1)
    assert sum(one.ms for one in found.operators) == pytest.approx(found.p50_ms, rel=0.5)
    assert found.describe().startswith(f"p50 {found.p50_ms:.4f} ms predicted")


def test_stated_error_is_that_of_networks_which_are_not_learned_from(law_rows):
    fitted = Fitted(law_rows)
    slower = Fitted([row.model_copy(update={"p50_ms": 2 * row.p50_ms}) if row.kind == "network" else row for row in law_rows])
    content = network_of("int8", (16, 32))
    assert slower.network_ms(workloads(content)) == fitted.network_ms(workloads(content))
    assert slower.error(workloads(content)).median == pytest.approx(0.5, abs=0.05)  # predicted half of what was measured
    assert slower.error(workloads(content)).high == pytest.approx(2 * fitted.error(workloads(content)).high, rel=0.2)


def test_a_step_of_the_channels_is_seen(table):
    """On that machine 17 channels cost as much as 32, and 16 half of it."""
    costs = [predict(network_of("float32", (width,), side=40), table).operators[0].ms for width in (16, 17, 32)]
    assert costs[1] == pytest.approx(costs[2], rel=0.2)
    assert costs[0] == pytest.approx(costs[2] / 2, rel=0.2)


def test_the_same_table_and_file_give_the_same_bits(law_table):
    content = network_of("int8", (12, 20))
    assert predict(content, load_table(law_table)) == predict(content, load_table(law_table))


def test_operators_that_the_table_lacks_are_named_with_their_share(table, law):
    network = SmallNetwork("float32")
    x = network.convolve(network.input(1, 16, 16, 3), 8, (3, 3))
    covered = network.finish(x)
    whole = predict(covered, table)
    without = load_table_without(table, "CONV_2D")
    found = predict(covered, without)
    assert whole.uncovered == 0
    assert found.uncovered_operators == ("CONV_2D",)
    assert 0.5 < found.uncovered < 1
    assert "of it guessed: the table has no CONV_2D" in found.describe()
    assert found.low_ms < law.invoke_ms * 1.2  # what is guessed may be nothing
    assert found.high_ms > 2.5 * found.p50_ms


def load_table_without(table, name):
    rows = [row for row in table.rows if row.kind == "network" or row.operators[0].name != name]
    return table.model_copy(update={"rows": rows}, deep=True)


def test_prices_of_a_law_in_tiles_are_found(law_rows, law):
    rows = [(row.operators[0], law.operator_ms(row.operators[0])) for row in law_rows if row.key.startswith("int8 CONV_2D pointwise")]
    train, test = rows[::2], rows[1::2]
    curve = Curve(train)
    off = [abs(curve.ms(work) / ms - 1) for work, ms in test]
    assert np.median(off) < 0.02
    assert curve.left_out_error < 0.05


def test_threads_that_were_not_learned_and_a_table_of_too_few_rows_are_refused(table, law_rows):
    content = network_of("int8", (8,))
    with pytest.raises(DataError, match=r"threads must be one of those of the latency table of local, \[1\]\. Received: 4\."):
        predict(content, table, threads=4)
    few = table.model_copy(update={"rows": law_rows[:20]}, deep=True)
    with pytest.raises(DataError, match=r"must hold more to predict from: go on with edgecompress learn-latency"):
        predict(content, few)


def test_rows_that_are_added_count_at_once(table, law_rows):
    content = network_of("float32", (16,))
    own = table.model_copy(update={"rows": list(law_rows[:300])}, deep=True)
    before = predict(content, own).p50_ms
    for row in law_rows[300:]:
        own.rows.append(row)
    assert predict(content, own).p50_ms != before
    assert math.isclose(predict(content, own).p50_ms, predict(content, table).p50_ms)


def test_paths_are_taken_and_named_in_errors(law_table, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(network_of("int8", (8,)))
    assert predict_latency(path, law_table).p50_ms > 0
    with pytest.raises(ModelError, match=r"must be a \.tflite file\. Received: No such file.* Did you mean 'model\.tflite'\?"):
        predict_latency(tmp_path / "modle.tflite", law_table)
    with pytest.raises(ModelError):
        predict(b"no model", load_table(law_table))


def test_a_folder_is_not_meant_to_be_itself(tmp_path, law_table):
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError, match=r"run: must be a \.tflite file\. Received: Is a directory\.$"):
        predict_latency(tmp_path / "run", law_table)
