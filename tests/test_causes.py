"""One telling line out of a converter's noise."""

import pytest

from edgecompress.causes import MAX_LENGTH, root_cause
from edgecompress.device.fault import DeviceFault
from edgecompress.errors import ConversionError

UNSUPPORTED = """Could not translate MLIR to FlatBuffer./home/train.py:45:1: error: 'tf.Betainc' op is neither a custom op nor a flex op
            y = model(x)
^
<unknown>:0: note: loc(fused["PartitionedCall:", "PartitionedCall"]): called from
/home/user/train.py:46:1: error: 'tf.Erfinv' op is neither a custom op nor a flex op
/home/user/train.py:47:1: error: 'tf.Betainc' op is neither a custom op nor a flex op
<unknown>:0: note: Error code: ERROR_NEEDS_CUSTOM_OPS
<unknown>:0: error: failed while converting: 'main':
"""
USER_CODE = """in user code:

    File "/home/user/layer.py", line 3, in call  *
        return x + y
    ValueError: Dimensions must be equal, but are 3 and 4

"""
LAYER = "Exception encountered when calling layer 'a' (type Dense).\n\nMatrix size-incompatible: In[0]: [1,3]\n\nCall arguments received: x"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(UNSUPPORTED), "TensorFlow Lite has no operator Betainc, Erfinv"),
        (RuntimeError("noise\nfile.py:1:1: error: type of result is not supported\nmore"), "type of result is not supported"),
        (ValueError(USER_CODE), "Dimensions must be equal, but are 3 and 4"),
        (ValueError(LAYER), "Matrix size-incompatible: In[0]: [1,3]"),
        (RuntimeError("tensorflow/lite/kernels/rfft2d.cc:117 x was not true.Node 1 (RFFT2D)."), "x was not true.Node 1 (RFFT2D)"),
        (RuntimeError("16x8-bit not yet supported for op: 'SIN'.\n"), "16x8-bit not yet supported for op: 'SIN'"),
        (DeviceFault("the runtime crashed with SIGSEGV"), "the runtime crashed with SIGSEGV"),
        (ConversionError("input 'x' must have a batch of 1. Received: 2."), "input 'x' must have a batch of 1. Received: 2"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)  # fmt: skip
def test_the_cause_is_one_line(error, expected):
    assert root_cause(error) == expected


def test_a_long_line_is_cut():
    cause = root_cause(ValueError("x" * 1000))
    assert len(cause) == MAX_LENGTH
    assert cause.endswith("...")
