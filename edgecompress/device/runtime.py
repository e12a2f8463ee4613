"""The only interpreter wrapper of the project: a .tflite file as a function on arrays."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import edge_tpu
from .fault import DeviceFault
from .installed import Runtime, find_runtime, one_line
from .quantization import dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Sequence

Kernels = Literal["xnnpack", "builtin"]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output tensor.

    Attributes:
        name: Name in the file.
        index: Index in the main subgraph.
        shape: Shape in use; () also stands for an output whose shape is known only after an invoke.
        dtype: NumPy name of the type ("int8", "bool", ...), or "string".
        scale: Step of a quantized tensor; None for one that is not quantized.
        zero_point: The integer that stands for 0.0; None for a tensor that is not quantized.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


class TfliteModel:
    """A loaded and allocated .tflite file.

    Attributes:
        inputs, outputs: The tensors, in the order of the file.
        runtime_name, runtime_version: The runtime that runs it.
        kernels: The kernel family in use: "xnnpack" if the XNNPACK delegate took at least one operator, else "builtin".
        allocate_ns: What allocating the tensors took, a delegate's packing of weights included.
        delegate: "edgetpu" for a file that is compiled for one: what is left to the CPU runs on the built-in kernels. Else None.
    """

    def __init__(
        self,
        content: bytes | str | os.PathLike[str],
        *,
        threads: int = 1,
        kernels: Kernels = "xnnpack",
        batch_size: int | None = None,
        keep_tensors: bool = False,
    ) -> None:
        """Loads the file and allocates its tensors.

        Args:
            content: The file's bytes, or its path. A path is mapped into memory, not read.
            threads: Threads of the runtime, at least 1.
            kernels: "xnnpack" is the runtime's default, which uses XNNPACK for what it can; "builtin" runs without any delegate.
            batch_size: Resizes the first dimension of every input; None keeps the file's own.
            keep_tensors: Keeps what every operator gives, for `get_tensor`, in memory of its own. A delegate shows nothing of what
                it computes inside: use it with "builtin".

        Raises:
            DeviceFault: No runtime, an unreadable file, a file that the runtime refuses, or one that needs an Edge TPU where there is none.
        """
        runtime = find_runtime()
        self.runtime_name, self.runtime_version = runtime.name, runtime.version
        resolvers = runtime.resolvers
        options = {
            **_source(content), "num_threads": threads, "experimental_preserve_all_tensors": keep_tensors,
            "experimental_op_resolver_type": resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES if kernels == "builtin" else resolvers.AUTO,
        }  # fmt: skip
        self.delegate: str | None = None
        try:
            try:
                self._open(runtime, options, batch_size)
            except (ValueError, RuntimeError) as error:
                if edge_tpu.OPERATOR not in str(error):
                    raise
                options["experimental_op_resolver_type"] = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                self.delegate = edge_tpu.DELEGATE
                self._open(runtime, {**options, "experimental_delegates": [edge_tpu.load(runtime)]}, batch_size)
            self.inputs = [_spec(details) for details in self._interpreter.get_input_details()]
            self.outputs = [_spec(details) for details in self._interpreter.get_output_details()]
            self.kernels: Kernels = "xnnpack" if self._is_delegated() and self.delegate is None else "builtin"
        except (ValueError, RuntimeError, TypeError) as error:  # what the runtimes raise for a file they refuse, or names in no UTF-8
            raise DeviceFault(f"{self.runtime_name} {self.runtime_version} refused the model: {one_line(error)}") from error

    def _open(self, runtime: Runtime, options: dict[str, Any], batch_size: int | None) -> None:
        """Loads the file and allocates its tensors."""
        self._interpreter = runtime.interpreter(**options)
        if batch_size is not None:
            self._resize(batch_size)
        started = time.perf_counter_ns()
        self._interpreter.allocate_tensors()
        self.allocate_ns = time.perf_counter_ns() - started

    def set_inputs(self, inputs: Sequence[np.ndarray]) -> None:
        """Copies `inputs` into the input tensors; they stay there for `run`.

        Raises:
            ValueError: An array's count, type or shape is not the file's.
            DeviceFault: The runtime has no place for it, as after a run that failed.
        """
        if len(inputs) != len(self.inputs):
            raise ValueError(f"inputs must be {len(self.inputs)} arrays. Received: {len(inputs)}")
        for spec, value in zip(self.inputs, inputs):  # noqa: B905 (3.9 has no strict; the lengths were compared above)
            if value.dtype != spec.dtype or value.shape != spec.shape:
                raise ValueError(
                    f"input '{spec.name}' must be {spec.dtype} of shape {spec.shape}. Received: {value.dtype} of shape {value.shape}"
                )
            try:
                self._interpreter.set_tensor(spec.index, value)
            except ValueError as error:
                raise DeviceFault(f"{self.runtime_name} {self.runtime_version} takes no input: {one_line(error)}") from error

    def run(self) -> None:
        """One invoke on the inputs that are set. This alone is what a latency measures.

        Raises:
            DeviceFault: The runtime failed in an operator.
        """
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:  # what the runtimes raise when an operator fails
            raise DeviceFault(f"{self.runtime_name} {self.runtime_version} failed to run the model: {one_line(error)}") from error

    def get_outputs(self) -> list[np.ndarray]:
        """Copies of the output tensors after `run`, in the types of the file.

        Raises:
            DeviceFault: The run gave an output of no elements, or of more than the runtime holds.
        """
        try:
            return [self._interpreter.get_tensor(spec.index) for spec in self.outputs]
        except ValueError as error:
            raise DeviceFault(f"{self.runtime_name} {self.runtime_version} has no output to give: {one_line(error)}") from error

    def get_tensor(self, index: int) -> np.ndarray:
        """A copy of a tensor of the main subgraph after `run`, in the type of the file; needs `keep_tensors`."""
        return self._interpreter.get_tensor(index)

    def tensor_specs(self) -> dict[int, TensorSpec]:
        """Every tensor of the main subgraph, by its index."""
        return {int(details["index"]): _spec(details) for details in self._interpreter.get_tensor_details()}

    def invoke(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Sets the inputs, runs, returns copies of the outputs, all in the types of the file.

        State that a model carries from one run to the next (the variables of an LSTM) is reset before: outputs depend on the inputs
        alone. `run` by itself goes on with the state that is there.

        Raises:
            ValueError: An array's count, type or shape is not the file's.
            DeviceFault: The runtime failed in an operator.
        """
        self.set_inputs(inputs)
        self._interpreter.reset_all_variables()
        self.run()
        return self.get_outputs()

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Real numbers in, real numbers out, for a model of one input and one output.

        Quantizes, invokes in slices of the allocated batch size (the last one padded), dequantizes.

        Args:
            values: float32 [n, ...], any n.

        Returns:
            float32 [n, ...].

        Raises:
            ValueError: The model has several inputs or outputs, or `values` does not fit its input.
            DeviceFault: The runtime failed, or the output has no row per sample.
        """
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise ValueError(f"the model must have 1 input and 1 output. Received: {len(self.inputs)} and {len(self.outputs)}")
        source, target = self.inputs[0], self.outputs[0]
        batch_size = source.shape[0] if source.shape else 1
        raw = quantize(values, source)
        rows = []
        for start in range(0, len(raw), batch_size):
            samples = raw[start : start + batch_size]
            num_samples = len(samples)
            if num_samples < batch_size:
                samples = np.concatenate([samples, np.zeros((batch_size - num_samples, *samples.shape[1:]), samples.dtype)])
            output = self.invoke([samples])[0]
            if output.shape[:1] != (batch_size,):
                raise DeviceFault(f"output '{target.name}' has shape {output.shape} for {batch_size} samples, not one row per sample")
            rows.append(output[:num_samples])
        return dequantize(np.concatenate(rows) if rows else np.zeros((0, *target.shape[1:]), np.float32), target)

    def signatures(self) -> dict[str, dict[str, TensorSpec]]:
        """Per signature of the file: argument name to the tensor that it fills."""
        return {
            key: {name: _spec(details) for name, details in self._interpreter.get_signature_runner(key).get_input_details().items()}
            for key in self._interpreter.get_signature_list()
        }

    def invoke_signature(self, key: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one signature: argument name to array in, output name to array out, all in the types of the file.

        Raises:
            DeviceFault: The runtime failed in an operator.
        """
        try:
            return dict(self._interpreter.get_signature_runner(key)(**inputs))
        except (ValueError, RuntimeError) as error:
            raise DeviceFault(f"{self.runtime_name} {self.runtime_version} failed to run signature {key!r}: {one_line(error)}") from error

    def count_left(self) -> int:
        """How many operators of the main subgraph no delegate took."""
        operators = self._interpreter._get_ops_details()
        producers = {int(index): operator for operator in operators if operator["op_name"] != "DELEGATE" for index in operator["outputs"]}
        delegates = [operator for operator in operators if operator["op_name"] == "DELEGATE"]
        taken: set[int] = set()
        for delegate in delegates:
            outside, found = {int(index) for index in delegate["inputs"]}, [int(index) for index in delegate["outputs"]]
            while found:
                index = found.pop()
                if index in producers and index not in outside and producers[index]["index"] not in taken:
                    taken.add(producers[index]["index"])
                    found += [int(number) for number in producers[index]["inputs"]]
        return len(operators) - len(delegates) - len(taken)

    def output_steps(self) -> list[float | None]:
        """Per output the real size of one integer step; None for an output that no integer tensor stands behind.

        A float output that a DEQUANTIZE operator writes has the step of the tensor that this operator reads.
        """
        sources = {
            int(operator["outputs"][0]): int(operator["inputs"][0])
            for operator in self._interpreter._get_ops_details()
            if operator["op_name"] == "DEQUANTIZE"
        }
        scales = {details["index"]: _spec(details).scale for details in self._interpreter.get_tensor_details() if sources}
        return [scales.get(sources[spec.index]) if spec.index in sources else spec.scale for spec in self.outputs]

    def _resize(self, batch_size: int) -> None:
        """Sets the first dimension of every input that has one."""
        for details in self._interpreter.get_input_details():
            if len(details["shape"]):
                self._interpreter.resize_tensor_input(details["index"], [batch_size, *map(int, details["shape"][1:])])

    def _is_delegated(self) -> bool:
        """Whether a delegate replaced operators. The runtimes offer no public call for it."""
        return any(operator["op_name"] == "DELEGATE" for operator in self._interpreter._get_ops_details())


def _source(content: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """The constructor arguments that name the model; a path that cannot be read is reported here, in plain words."""
    if isinstance(content, bytes):
        if not content:
            raise DeviceFault("the model is empty")
        return {"model_content": content}
    path = os.fspath(content)
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise DeviceFault(f"{path}: the model is empty")
    except OSError as error:
        raise DeviceFault(f"{path}: the model cannot be read: {error.strerror}") from error
    return {"model_path": path}


def _spec(details: dict[str, Any]) -> TensorSpec:
    """The runtime's description of a tensor as plain data."""
    parameters = details["quantization_parameters"]
    is_quantized = len(parameters["scales"]) == 1
    dtype = np.dtype(details["dtype"])
    return TensorSpec(
        name=details["name"],
        index=int(details["index"]),
        shape=tuple(int(size) for size in details["shape"]),
        dtype="string" if dtype.kind in "SUO" else dtype.name,
        scale=float(parameters["scales"][0]) if is_quantized else None,
        zero_point=int(parameters["zero_points"][0]) if is_quantized else None,
    )
