"""What importing must not load; the public names."""

import os
import platform
import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "ai_edge_litert", "matplotlib", "sklearn")


def loaded_after(code):
    names = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(' '.join(sys.modules))"], capture_output=True, text=True, check=True
    ).stdout.split()
    return {name for name in HEAVY if name in names}


@pytest.mark.parametrize(
    "code",
    [
        "import edgecompress",
        "import edgecompress; edgecompress.PruneWeights(sparsity=0.5)",
        "import edgecompress; edgecompress.load_recipe('builtin:quickstart.yaml')",
        "import edgecompress.recipe.describe, edgecompress.recipe.json_schema",
        "import edgecompress.tflite",
        "import edgecompress.device.benchmark",
        "import edgecompress.report.schema",
        "import edgecompress.workers.joining, edgecompress.tracking",
    ],
)
def test_nothing_heavy_is_loaded(code):
    assert loaded_after(code) <= ({"ai_edge_litert"} if "tflite" in code else set())


def test_every_public_name_exists():
    import edgecompress

    assert all(getattr(edgecompress, name) is not None for name in edgecompress.__all__)
    assert sorted(dir(edgecompress)) == sorted(edgecompress.__all__)


def test_unknown_name_is_an_attribute_error():
    import edgecompress

    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        edgecompress.no_such_name  # noqa: B018


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="only TensorFlow for Linux on x86-64 has the switch")
@pytest.mark.parametrize(("given", "taken"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_tensorflow_uses_onednn_unless_told_otherwise(given, taken):
    inherited = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    code = "import edgecompress.backend\nfrom tensorflow.python.util._pywrap_util_port import IsMklEnabled\nprint(int(IsMklEnabled()))"
    finished = subprocess.run([sys.executable, "-c", code], env=inherited | given, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == taken
