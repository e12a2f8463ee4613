"""Which TFLite runtime this Python can import."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from .fault import DeviceFault

_MOST_CHARACTERS = 300  # of a runtime's own words

# Package name for the report, module to import; the first that imports is used.
_RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow"),
)


@dataclass(frozen=True)
class Runtime:
    """A TFLite runtime that this Python can import.

    Attributes:
        name: Package name: ai-edge-litert, tflite-runtime or tensorflow.
        version: Its version.
        interpreter: The Interpreter class.
        resolvers: The OpResolverType enumeration.
        module: Where the Interpreter comes from.
    """

    name: str
    version: str
    interpreter: Any
    resolvers: Any
    module: Any = None

    def load_delegate(self, library: str) -> Any:
        """A delegate from a shared library; what the runtime raises comes through."""
        home = self.module.experimental if self.name == "tensorflow" else self.module
        return home.load_delegate(library)


def find_runtime() -> Runtime:
    """The first runtime that imports: ai_edge_litert, tflite_runtime, tensorflow.lite.

    Raises:
        DeviceFault: None imports; the reason says why each did not.
    """
    refused = []
    for name, module_name in _RUNTIMES:
        try:
            module = importlib.import_module(module_name)
            module = module.lite if name == "tensorflow" else module  # TensorFlow loads it when it is asked for
            resolvers = module.experimental.OpResolverType if name == "tensorflow" else module.OpResolverType
            package = importlib.import_module(module_name.partition(".")[0])
            return Runtime(name, str(package.__version__), module.Interpreter, resolvers, module)
        except (ImportError, AttributeError) as error:  # also a runtime that is installed for another NumPy or processor, or half of one
            refused.append(f"{name}: {one_line(error)}")
    raise DeviceFault(
        "no TFLite runtime can be imported; install ai-edge-litert, or tflite-runtime on CPython <= 3.11 with numpy < 2 "
        f"({'; '.join(refused)})"
    )


def one_line(error: BaseException) -> str:
    """A runtime's message without its line breaks, bounded: some repeat themselves for each tensor."""
    words = " ".join(str(error).split())
    return words if len(words) <= _MOST_CHARACTERS else f"{words[: _MOST_CHARACTERS - 3]}..."
