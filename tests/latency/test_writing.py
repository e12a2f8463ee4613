"""Files written operator by operator run, and say what they hold."""

import pytest

from edgecompress.device.inputs import varied_inputs
from edgecompress.device.runtime import TfliteModel
from edgecompress.latency.grid import MOST_MACS, MOST_VALUES, specimens
from edgecompress.latency.workload import Workload, workloads
from edgecompress.latency.writing import SmallNetwork

FORMATS = ("float32", "int8", "dynamic")


def first_of_each_kind():
    return [one for one in specimens(FORMATS) if one.key.endswith(" 0")]


@pytest.mark.parametrize("specimen", first_of_each_kind(), ids=lambda one: one.key)
def test_every_kind_of_file_runs(specimen):
    content = specimen.make()
    model = TfliteModel(content)
    model.set_inputs(varied_inputs(model.inputs))
    model.run()
    shapes = [output.shape for output in model.get_outputs()]
    operators = workloads(content)
    assert shapes == [operators[-1].output]
    assert len(operators) == 1 or specimen.kind == "network"
    assert {work.activations for work in operators} <= ({"int8", "float32"} if specimen.format == "int8" else {"float32"})


def test_convolution_is_described():
    network = SmallNetwork("int8")
    content = network.finish(network.convolve(network.input(1, 9, 8, 3), 24, (3, 2), 2))
    assert workloads(content) == [
        Workload(
            name="CONV_2D", activations="int8", weights="int8", inputs=((1, 9, 8, 3),), output=(1, 5, 4, 24), result="int8",
            kernel=(24, 3, 2, 3), strides=(2, 2),
        )
    ]  # fmt: skip
    (work,) = workloads(content)
    assert work.macs == 5 * 4 * 24 * 3 * 2 * 3
    assert (work.read_bytes, work.written_bytes, work.weight_bytes) == (9 * 8 * 3, 5 * 4 * 24, 24 * 3 * 2 * 3)


def test_pool_and_sum_have_no_weights():
    network = SmallNetwork("float32")
    x = network.pool("MAX_POOL_2D", network.input(1, 8, 6, 4), (2, 3))
    pool, add = workloads(network.finish(network.combine("ADD", x, x)))
    assert (pool.output, pool.kernel, pool.weights, pool.macs) == ((1, 4, 2, 4), (2, 3), "", 4 * 2 * 4 * 6)
    assert (add.inputs, add.macs, add.read_bytes) == (((1, 4, 2, 4),) * 2, 0, 2 * 4 * 4 * 2 * 4)


def test_the_same_key_is_always_the_same_file():
    first, second = specimens(["int8"])[:40], specimens(["float32", "int8"])
    by_key = {one.key: one for one in second}
    assert len(by_key) == len(second)
    assert all(one.make() == by_key[one.key].make() for one in first)


def test_any_first_part_holds_the_same_share_of_every_kind():
    found = specimens(["float32", "int8"])
    part = found[: len(found) // 4]
    for kind in {one.key.rsplit(" ", 1)[0] for one in found}:
        whole, early = (sum(one.key.rsplit(" ", 1)[0] == kind for one in some) for some in (found, part))
        assert abs(early - whole / 4) <= 1


def test_files_are_of_the_size_of_small_networks():
    operators = [work for one in specimens(["int8"]) if one.kind == "operator" for work in workloads(one.make())]
    assert max(work.macs for work in operators if work.weights) <= MOST_MACS
    assert max(work.written_bytes for work in operators if work.name != "DEQUANTIZE") <= 2 * MOST_VALUES  # CONCATENATION, PAD
