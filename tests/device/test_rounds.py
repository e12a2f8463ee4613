"""Files timed in rounds: each has a block per round, and one that fails costs only itself."""

from edgecompress.device.rounds import measure_rounds


def test_each_file_has_a_block_in_every_round(tiny_file):
    small, large = measure_rounds([tiny_file("double"), tiny_file("double", shape=(1, 100_000))], threads=1, rounds=3, timeout_s=60)
    assert (len(small["blocks_ms"]), len(large["blocks_ms"])) == (3, 3)
    assert 0 < max(small["blocks_ms"]) < max(large["blocks_ms"])
    assert small["error"] is None


def test_file_that_is_refused_hangs_or_aborts_costs_only_itself(tiny_file, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    paths = [tiny_file("double"), str(broken), tiny_file("endless"), tiny_file("double")]
    found = measure_rounds(paths, threads=1, rounds=2, timeout_s=3)
    assert [len(one["blocks_ms"]) for one in found] == [2, 0, 0, 2]
    assert "refused the model" in found[1]["error"]
    assert "did not finish within 3 s" in found[2]["error"]


def test_runtime_that_aborts_is_reported(fake_runtime):
    model = fake_runtime(invoke="os.abort()")
    assert ["SIGABRT" in one["error"] for one in measure_rounds([model, model], threads=1, rounds=2, timeout_s=60)] == [True, True]
