"""What a model file from a stranger may name: classes and functions that compute, and neither run code nor read files.

tf_keras' own safe mode is not enough: a .keras with a TFOpLambda of `io.read_file` passes it. So the configuration is
searched before anything of it is made. Left out on purpose: Lambda (Python bytecode), TensorFlowOpLayer (any operator),
layers with a vocabulary (TextVectorization, StringLookup, IntegerLookup: it may be the path of a file), and method or
property calls (InstanceMethod, ClassMethod, InstanceProperty).
"""

from collections.abc import Container, Iterator
from typing import Any

from edgecompress.models.keras3.activations import COMPOSED
from edgecompress.models.keras3.operations import OPERATIONS

MODELS = frozenset({"Functional", "Sequential", "Model"})

LAYERS = frozenset({
    "InputLayer", "Identity", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax",
    "Dense", "EinsumDense", "Embedding", "Masking", "Flatten", "Reshape", "Permute", "RepeatVector",
    "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
    "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "LocallyConnected1D", "LocallyConnected2D",
    "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D", "Cropping3D",
    "UpSampling1D", "UpSampling2D", "UpSampling3D", "Resizing", "CenterCrop", "Rescaling", "Normalization",
    "BatchNormalization", "SyncBatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization",
    "SpectralNormalization",
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization",
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
    "Attention", "AdditiveAttention", "MultiHeadAttention",
    "RNN", "SimpleRNN", "GRU", "LSTM", "SimpleRNNCell", "GRUCell", "LSTMCell", "StackedRNNCells",
    "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional", "TimeDistributed",
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness", "RandomCrop",
    "RandomHeight", "RandomWidth",
    "LayerScale", "StochasticDepth", "CustomScaleLayer",
    "TFOpLambda", "SlicingOpLambda",
})  # fmt: skip

# They compute only, but tf_keras has nothing like them: the translation says so.
LAYERS_OF_KERAS_3 = frozenset({
    "RMSNormalization", "GroupQueryAttention", "ReversibleEmbedding", "MelSpectrogram", "STFTSpectrogram",
    "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D",
    "AugMix", "AutoContrast", "CutMix", "Equalization", "MixUp", "RandAugment", "RandomColorDegeneration", "RandomColorJitter",
    "RandomErasing", "RandomElasticTransform", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
    "RandomPerspective", "RandomPosterization", "RandomSaturation", "RandomSharpness", "RandomShear", "Solarization",
    "QuantizedDTypePolicy", "Int8QuantizationConfig", "Int4QuantizationConfig", "AbsMaxQuantizer",
})  # fmt: skip

LAYER_PARTS = frozenset({
    "Zeros", "Ones", "Constant", "Identity", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
    "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform",
    "L1", "L2", "L1L2", "OrthogonalRegularizer",
    "MaxNorm", "MinMaxNorm", "NonNeg", "RadialConstraint", "UnitNorm",
    "Policy", "DTypePolicy", "TensorShape",
    "__tuple__", "__ellipsis__", "__slice__", "__tensor__", "__numpy__", "__keras_tensor__",
})  # fmt: skip

# Classes of TF-MOT, which need its scopes to be loaded.
MODEL_OPTIMIZATION = frozenset({
    "QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer", "QuantizeAwareActivation", "NoOpActivation",
    "Default8BitQuantizeConfig", "Default8BitConvQuantizeConfig", "Default8BitConvTransposeQuantizeConfig",
    "Default8BitActivationQuantizeConfig", "Default8BitOutputQuantizeConfig", "NoOpQuantizeConfig",
    "AllValuesQuantizer", "LastValueQuantizer", "MovingAverageQuantizer", "FixedQuantizer", "NoQuantizer",
    "PruneLowMagnitude", "ConstantSparsity", "PolynomialDecay",
})  # fmt: skip

ACTIVATIONS = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softmax", "log_softmax", "softplus", "softsign", "swish", "silu", "gelu",
    "tanh", "sigmoid", "hard_sigmoid", "exponential", "mish", *COMPOSED,
})  # fmt: skip

# Names as TFOpLambda stores them: below `tf.`.
FUNCTIONS = frozenset({
    *(f"__operators__.{name}" for name in (
        "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv", "mod", "rmod", "pow", "rpow",
        "matmul", "rmatmul", "neg", "abs", "getitem", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "invert")),
    *(f"math.{name}" for name in (
        "add", "subtract", "multiply", "divide", "divide_no_nan", "truediv", "floordiv", "mod", "floormod", "pow", "square", "sqrt",
        "rsqrt", "exp", "expm1", "log", "log1p", "abs", "negative", "sign", "reciprocal", "maximum", "minimum", "floor", "ceil",
        "round", "sigmoid", "tanh", "softplus",
        "softsign", "erf", "sin", "cos", "l2_normalize", "squared_difference", "cumsum",
        "reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_std", "reduce_variance", "reduce_logsumexp",
        "argmax", "argmin", "top_k", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
        "logical_and", "logical_or", "logical_not")),
    *(f"nn.{name}" for name in (
        "relu", "relu6", "leaky_relu", "elu", "selu", "silu", "swish", "gelu", "softmax", "log_softmax", "sigmoid", "tanh", "softplus",
        "softsign",
        "l2_normalize", "bias_add", "max_pool", "max_pool2d", "avg_pool", "avg_pool2d", "depth_to_space", "space_to_depth",
        "conv2d", "depthwise_conv2d", "moments", "batch_normalization")),
    "reshape", "transpose", "concat", "stack", "unstack", "split", "squeeze", "expand_dims", "pad", "tile", "gather", "slice",
    "strided_slice", "reverse", "roll", "cast", "identity", "stop_gradient", "clip_by_value", "where", "one_hot", "shape",
    "zeros_like", "ones_like", "broadcast_to", "repeat", "einsum", "linalg.matmul", "linalg.l2_normalize", "linalg.matrix_transpose",
    "image.resize", "compat.v1.shape", "compat.v1.transpose", "compat.v1.squeeze", "compat.v1.gather", "compat.v1.pad",
    "compat.v1.nn.softmax", "compat.v1.image.resize",
})  # fmt: skip

KERAS_PACKAGES = ("keras", "tf_keras")
OPERATIONS_OF_KERAS_3 = "keras.src.ops."  # modules whose classes are operations
MODEL_OPTIMIZATION_PACKAGE = "tensorflow_model_optimization"
# How tf_keras.applications writes parts of its own: InceptionResNetV2 as if it were a user's, EfficientNetV2 by a way round Keras.
REGISTERED = {"CustomScaleLayer": "Custom>CustomScaleLayer"}
OTHER_PLACES = {("tensorflow.python.ops.init_ops_v2", "Constant")}

CLASSES = MODELS | LAYERS | LAYERS_OF_KERAS_3 | LAYER_PARTS | MODEL_OPTIMIZATION | {*OPERATIONS, *REGISTERED.values()}
ACTIVATION_KEYS = ("activation", "recurrent_activation")


def find_refused(config: Any) -> list[str]:
    """Searches a model's configuration for what is not allowed.

    Args:
        config: the decoded JSON of a .h5 or .keras file.

    Returns:
        What was found, in words ("Lambda", "TFOpLambda of io.read_file"), sorted, without duplicates; empty: it is safe.
    """
    return sorted({reason for part in dictionaries(config) for reason in _refused_in(part)})


def names_model_optimization(config: Any) -> bool:
    """Whether the configuration holds classes of TF-MOT."""
    return any(_is_in(part.get("class_name"), MODEL_OPTIMIZATION) for part in dictionaries(config))


def remove_compile_configs(config: Any) -> None:
    """Drops optimizers, losses and metrics from the configuration, in place: they are not needed and could name anything."""
    for part in dictionaries(config):
        if "class_name" in part:
            part.pop("compile_config", None)


def dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary at any depth; a loop, because a stranger's nesting may be deeper than Python's stack."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list | tuple):
            waiting.extend(part)


def _refused_in(part: dict[str, Any]) -> Iterator[str]:
    """What is not allowed in one dictionary, without the dictionaries below it."""
    for key in ACTIVATION_KEYS:
        if isinstance(part.get(key), str) and part[key] not in ACTIVATIONS:
            yield f"activation {part[key]}"
    if "class_name" not in part:
        return
    name, inner = part["class_name"], part.get("config")
    if name == "function":
        if not (_is_in(inner, ACTIVATIONS) and _is_in(part.get("registered_name", "function"), ACTIVATIONS | {None, "function"})):
            yield f"function {inner}"
    elif str(part.get("module")).startswith(OPERATIONS_OF_KERAS_3) and not _is_in(name, OPERATIONS):
        yield f"operation {name}"
    elif not _is_in(name, CLASSES):
        yield str(name)
    elif part.get("registered_name") not in (None, name, REGISTERED.get(name)):
        yield str(part["registered_name"])
    elif name in ("TFOpLambda", "SlicingOpLambda"):
        function = inner.get("function") if isinstance(inner, dict) else None
        if not _is_in(function, FUNCTIONS):
            yield f"{name} of {function}"
    if not _comes_from_keras(part.get("module"), name):
        yield f"{name} of module {part['module']}"


def _is_in(value: Any, allowed: Container[str | None]) -> bool:
    """Membership that takes any JSON value, also the ones that cannot be hashed."""
    return (value is None or isinstance(value, str)) and value in allowed


def _comes_from_keras(module: Any, name: Any) -> bool:
    """Whether a class or function would be looked up in Keras; in TF-MOT for its own classes."""
    if module is None or (module == "builtins" and name in ("function", "__tensor__", "__numpy__")):
        return True
    if isinstance(module, str) and isinstance(name, str) and (module, name) in OTHER_PLACES:
        return True
    package = str(module).split(".")[0]
    return package in KERAS_PACKAGES or (package == MODEL_OPTIMIZATION_PACKAGE and _is_in(name, MODEL_OPTIMIZATION))
