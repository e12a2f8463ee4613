"""A small language for quantized networks, written straight into the object form of a .tflite."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.pack import pack

VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}
PLAIN = ("ADD", "CONCATENATION", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "RELU", "MEAN", "QUANTIZE", "DEQUANTIZE", "MUL", "TRANSPOSE")
VERSIONS |= dict.fromkeys(PLAIN, 2)  # the version for int8
ACTIVATIONS = {None: 0, "relu": 1, "relu_n1": 2, "relu6": 3}


class Net:
    """Layers return the number of the tensor that they write; `x` is one. Kernels are integers as stored."""

    def __init__(self, shape, dtype="INT8", scale=0.05, zero_point=-3):
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.name, self.graph.tensors, self.graph.operators = "main", [], []
        self.model.subgraphs = [self.graph]
        self.input = self.tensor(shape, dtype, scale, zero_point, name="input")

    def tensor(self, shape, dtype="INT8", scale=None, zero_point=0, name=None, axis=0):
        made = schema.TensorT()
        made.shape, made.type, made.name = list(shape), getattr(schema.TensorType, dtype), name
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            made.quantization.zeroPoint = np.full(made.quantization.scale.shape, zero_point, np.int64)
            made.quantization.quantizedDimension = axis
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(self, values, dtype, scale=None, zero_point=0, axis=0):
        index = self.tensor(values.shape, dtype, scale, zero_point, name=f"constant{len(self.graph.tensors)}", axis=axis)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.graph.tensors[index].buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        return index

    def operator(self, name, inputs, outputs, options=None):
        builtin = getattr(schema.BuiltinOperator, name)
        codes = [code.builtinCode for code in self.model.operatorCodes]
        if builtin not in codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), VERSIONS.get(name, 1)
            self.model.operatorCodes.append(code)
            codes.append(builtin)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = codes.index(builtin), list(inputs), list(outputs)
        if options is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
            made.builtinOptions = options
        self.graph.operators.append(made)
        return outputs[0]

    def shape(self, x):
        return list(self.graph.tensors[x].shape)

    def scale(self, x):
        parameters = self.graph.tensors[x].quantization
        return None if parameters is None else float(parameters.scale[0])

    def zero_point(self, x):
        return int(self.graph.tensors[x].quantization.zeroPoint[0])

    def _weights(self, x, kernel, bias, scales, axis):
        """The constants of a kernel: int8 with a scale per output, or float32."""
        if kernel.dtype.kind == "f":
            return [self.constant(kernel, "FLOAT32")] + ([] if bias is None else [self.constant(np.float32(bias), "FLOAT32")])
        inputs = [self.constant(kernel.astype(np.int8), "INT8", scales, axis=axis)]
        if bias is not None:
            inputs.append(self.constant(np.asarray(bias, np.int32), "INT32", np.float32(self.scale(x)) * np.float32(scales)))
        return inputs

    def result(self, shape, like, scale, zero_point):
        if self.graph.tensors[like].type == schema.TensorType.FLOAT32:
            return self.tensor(shape, "FLOAT32", name=f"t{len(self.graph.tensors)}")
        return self.tensor(shape, "INT8", scale, zero_point, name=f"t{len(self.graph.tensors)}")

    def conv(self, x, kernel, bias=None, *, stride=1, same=True, activation=None, scales=None, scale=0.1, zero_point=-5, depthwise=False):
        """kernel [out, kh, kw, in], depthwise [1, kh, kw, out]."""
        batch, height, width, depth = self.shape(x)
        outputs = kernel.shape[3] if depthwise else kernel.shape[0]
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = 0 if same else 1, stride, stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = ACTIVATIONS[activation]
        if depthwise:
            options.depthMultiplier = outputs // depth
        size = [-(-side // stride) if same else -(-(side - kernel.shape[axis] + 1) // stride) for axis, side in ((1, height), (2, width))]
        scales = np.full(outputs, 0.02, np.float32) if scales is None else np.float32(scales)
        out = self.result([batch, *size, outputs], x, scale, zero_point)
        weights = self._weights(x, kernel, bias, scales, 3 if depthwise else 0)
        return self.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, *weights], [out], options)

    def dense(self, x, kernel, bias=None, *, activation=None, scales=None, scale=0.1, zero_point=2):
        """kernel [out, in]; per tensor, as older runtimes ask."""
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[activation]
        out = self.result([1, kernel.shape[0]], x, scale, zero_point)
        weights = self._weights(x, kernel, bias, np.float32([0.02]) if scales is None else np.float32(scales), 0)
        return self.operator("FULLY_CONNECTED", [x, *weights, *([-1] if bias is None else [])], [out], options)

    def add(self, x, y, *, activation=None, scale=0.15, zero_point=1, name="ADD"):
        options = schema.AddOptionsT() if name == "ADD" else schema.MulOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[activation]
        return self.operator(name, [x, y], [self.result(self.shape(x), x, scale, zero_point)], options)

    def same_step(self, x, shape):
        """A tensor stored like `x`."""
        return self.result(shape, x, self.scale(x), 0 if self.scale(x) is None else self.zero_point(x))

    def concat(self, *parts):
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        shape = [*self.shape(parts[0])[:3], sum(self.shape(part)[3] for part in parts)]
        return self.operator("CONCATENATION", parts, [self.same_step(parts[0], shape)], options)

    def pool(self, x, size=2, *, kind="MAX_POOL_2D"):
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW, options.filterHeight, options.filterWidth = 1, size, size, size, size
        batch, height, width, depth = self.shape(x)
        return self.operator(kind, [x], [self.same_step(x, [batch, height // size, width // size, depth])], options)

    def mean(self, x):
        options = schema.ReducerOptionsT()
        axes = self.constant(np.array([1, 2], np.int32), "INT32")
        return self.operator("MEAN", [x, axes], [self.same_step(x, [1, self.shape(x)[3]])], options)

    def reshape(self, x, shape, *, in_options_only=False):
        target = [] if in_options_only else [self.constant(np.array(shape, np.int32), "INT32")]
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        shape = [size if size != -1 else int(np.prod(self.shape(x)) // -np.prod(shape)) for size in shape]
        return self.operator("RESHAPE", [x, *target], [self.same_step(x, shape)], options)

    def pad(self, x, margins):
        values = np.array([[0, 0], *margins, [0, 0]], np.int32)
        shape = [size + int(sum(margin)) for size, margin in zip(self.shape(x), values, strict=True)]
        return self.operator("PAD", [x, self.constant(values, "INT32")], [self.same_step(x, shape)], schema.PadOptionsT())

    def finish(self, *outputs) -> bytes:
        self.graph.inputs, self.graph.outputs = [self.input], list(outputs)
        return pack(self.model)


@pytest.fixture(scope="session")
def make_net():
    return Net


@pytest.fixture(scope="session")
def same_outputs():
    """Whether two files give the same bits on trial inputs under both kernel families; the files are our own, so no child is needed."""
    from edgecompress.device.runtime import TfliteModel
    from edgecompress.device.trials import trial_inputs

    def check(before: bytes, after: bytes, trials: int = 12) -> bool:
        for kernels in ("xnnpack", "builtin"):
            one, other = TfliteModel(before, kernels=kernels), TfliteModel(after, kernels=kernels)
            for number in range(trials):
                inputs = trial_inputs(one.inputs, number)
                pairs = zip(one.invoke(inputs), other.invoke(inputs), strict=True)
                if any(first.tobytes() != second.tobytes() for first, second in pairs):
                    return False
        return True

    return check
