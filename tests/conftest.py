"""Fixtures of all tests, the `--full` tier, and the count of tests that were left out."""

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("slow machines", deadline=None)
settings.load_profile("slow machines")

DATA_HINT = "needs EDGECOMPRESS_DATA: a folder with the real data sets"
OLD_RUNTIME_HINT = "needs tflite-runtime 2.14 in .venv-tflite-runtime, which scripts/test_device makes"
BOARD_HINT = "needs EDGECOMPRESS_BOARD: a host over SSH with python3, NumPy and a TFLite runtime (EDGECOMPRESS_SSH_CONFIG reaches it)"
FULL_HINT = "long: run with scripts/test --full"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the long tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason=FULL_HINT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])  # of all worker processes
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"left out: {count} tests, {reason}")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets and models; tests that need it are left out, and counted, where it is absent."""
    folder = Path(os.environ.get("EDGECOMPRESS_DATA", ""))
    if not os.environ.get("EDGECOMPRESS_DATA") or not folder.is_dir():
        pytest.skip(DATA_HINT)
    return folder


@pytest.fixture(scope="session")
def old_python() -> str:
    """A Python that has tflite-runtime 2.14.0, the last release; tests that need it are left out, and counted, where it is absent."""
    python = Path(__file__).parent.parent / ".venv-tflite-runtime" / "bin" / "python"
    if not python.exists():
        pytest.skip(OLD_RUNTIME_HINT)
    return str(python)


@pytest.fixture(scope="session")
def board() -> tuple[str, str]:
    """A host for the tests, and the file for `ssh -F`; tests that need it are left out, and counted, where it is absent."""
    names = os.environ.get("EDGECOMPRESS_BOARD"), os.environ.get("EDGECOMPRESS_SSH_CONFIG")
    if names[0] is None or names[1] is None:
        pytest.skip(BOARD_HINT)
    return names[0], names[1]


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's handwritten digits through the project's own loader: 8 x 8 x 1, scaled to [0, 1]."""
    from edgecompress.data import load_data
    from edgecompress.recipe.schema import Data, Preprocess, Task

    return load_data(Data(source="digits", preprocess=Preprocess(scale=1 / 16), batch_size=64), Task(), seed=0)


DIGITS_RECIPE = """\
name: digits
data: {source: digits, preprocess: {scale: 1/16}}
model: {source: builder, name: mlp, train: {epochs: 5}}
export: {format: int8, io: float32}
benchmark: {runs: 50, threads: [1]}
"""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a finished run of the digits. Do not change it: copy it."""
    from edgecompress.cli import main

    folder = tmp_path_factory.mktemp("finished")
    (folder / "digits.yaml").write_text(DIGITS_RECIPE)
    assert main(["run", str(folder / "digits.yaml"), "--out", str(folder / "run"), "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def make_context(digits, tmp_path):
    """A stage's surroundings on the digits: `make_context(keeps=..., seed=..., folder=..., data=..., baseline=..., warn=...)`."""
    from edgecompress.evaluation import evaluate_keras
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Task
    from edgecompress.stage import Context
    from edgecompress.techniques.distill import teach

    def make(*, keeps=(), seed=1, folder=tmp_path, data=digits, task=None, baseline=None, warn=lambda warning: None):
        def evaluate(model):
            return evaluate_keras(model, data.validation, task or Task(), batch_size=data.batch_size, progress=Progress()).metrics

        return Context("01 test", data, task or Task(), seed, baseline, tuple(keeps), folder, Progress(), evaluate, teach=teach, warn=warn)

    return make


@pytest.fixture(scope="session")
def small_model():
    """An untrained 8 x 8 network with the layers that matter: Conv2D, BatchNormalization, DepthwiseConv2D, Dropout, Dense."""
    from edgecompress.backend import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv1")(inputs)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm1")(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    x = layers.Conv2D(24, 1, activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flatten")(layers.Dropout(0.2, name="dropout")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


@pytest.fixture
def probe_in_this_process(monkeypatch):
    """Converted files run once without a child process, which would take most of a conversion's time."""
    import numpy as np

    from edgecompress.device.runtime import TfliteModel

    def run_here(job, *, timeout_s):
        model = TfliteModel(job["model"])
        model.invoke([np.zeros(spec.shape, spec.dtype) for spec in model.inputs])

    monkeypatch.setattr("edgecompress.export.verify.run_job", run_here)


class Law:
    """What operators and networks cost on a machine of the tests' own: tiles of 16 channels, and memory."""

    invoke_ms = 5e-4

    def operator_ms(self, work):
        wide = -(-work.output[-1] // 16) * 16 / work.output[-1]
        price = 2e-8 if work.activations == "int8" else 1e-7
        return 1e-4 + price * work.macs * wide + 2e-8 * (work.read_bytes + work.written_bytes + work.weight_bytes)

    def network_ms(self, operators):
        return self.invoke_ms + sum(map(self.operator_ms, operators))


@pytest.fixture(scope="session")
def law():
    return Law()


@pytest.fixture(scope="session")
def law_rows(law):
    """Rows of a third of the small files, as if they had been timed on that machine."""
    from edgecompress.latency.grid import specimens
    from edgecompress.latency.table import Row
    from edgecompress.latency.workload import workloads

    rows = []
    for one in specimens(["float32", "int8"])[:400]:
        operators = tuple(workloads(one.make()))
        ms = law.network_ms(operators)
        rows.append(Row(key=one.key, threads=1, kind=one.kind, operators=operators, kernels="xnnpack", p50_ms=ms, spread=0.01))
    return rows


@pytest.fixture(scope="session")
def law_table(law_rows, tmp_path_factory):
    """The path of the latency table of that machine. Do not change it: copy it."""
    from edgecompress.latency.table import LatencyTable, Machine

    machine = Machine(name="law", architecture="x86_64", cores=1, runtime="ai-edge-litert", runtime_version="2.3.0")
    path = tmp_path_factory.mktemp("tables") / "latency-law.json"
    table = LatencyTable(host="local", machine=machine, threads=[1], formats=["float32", "int8"], updated_at="", rows=list(law_rows))
    table.save(path)
    return path


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder():
    """What other programs lock or leave in the machine's temporary folder is not seen here, the other test processes included."""
    own = tempfile.TemporaryDirectory(prefix="edgecompress-tests-", ignore_cleanup_errors=True)
    with own as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)  # so that the variable is read again
        yield


@pytest.fixture
def killed_at():
    """`with killed_at(epoch) as callback:` what is trained inside with this callback dies, as by SIGKILL, when that epoch begins."""
    from contextlib import contextmanager

    from edgecompress.backend import keras

    class Killed(Exception):
        pass

    class KillAt(keras.callbacks.Callback):
        def __init__(self, epoch):
            super().__init__()
            self.epoch = epoch

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.epoch:
                raise Killed

    @contextmanager
    def killed_at_epoch(epoch):
        with pytest.raises(Killed):
            yield KillAt(epoch)

    return killed_at_epoch
