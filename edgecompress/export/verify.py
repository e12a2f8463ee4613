"""What a converted file must show before it counts."""

import tempfile
from pathlib import Path

from edgecompress.device.child import run_job
from edgecompress.errors import ConversionError
from edgecompress.tflite import parse

PROBE_TIMEOUT_S = 300.0


def verify(content: bytes, *, io_type: str | None) -> None:
    """Checks shapes and types, then loads, allocates and runs the file once in a child process.

    Args:
        content: the file.
        io_type: what all in- and outputs must be; None where the model's own are integers.

    Raises:
        ConversionError: a batch that is not 1, a shape that may change, or another type.
        DeviceFault: the runtime refused the file, crashed or did not finish.
        OSError: the temporary folder cannot be written.
    """
    main = parse(content).subgraphs[0]
    for tensor in (main.tensors[index] for index in main.inputs):
        if tensor.shape[:1] != (1,) or -1 in tensor.shape + tensor.shape_signature:
            shape = tensor.shape_signature or tensor.shape
            raise ConversionError(f"input {tensor.name!r} must have a batch of 1 and a fixed shape. Received: {shape}.")
    for tensor in (main.tensors[index] for index in main.inputs + main.outputs):
        if io_type is not None and tensor.dtype != io_type:
            raise ConversionError(f"tensor {tensor.name!r} must be of type {io_type}. Received: {tensor.dtype}.")
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        run_job({"job": "probe", "model": str(path)}, timeout_s=PROBE_TIMEOUT_S)
