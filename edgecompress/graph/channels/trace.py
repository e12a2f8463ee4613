"""What is recorded while a functional model is walked from its inputs to its outputs, with the channels of each tensor as numbers.

Every channel that a layer makes gets a number of its own. A tensor is known by the axis that its channels lie on and the
number at each position of that axis. What must go together (the two inputs of an addition) is recorded as pairs of numbers;
what must stay, with the reason; and each axis of a weight that has channels on it, with their numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecompress.graph.macs import Shape

Numbers = npt.NDArray[np.int64]
Role = Literal["makes", "carries", "reads"]


@dataclass(frozen=True, eq=False)
class Channels:
    """Channels of a tensor that can be told apart.

    Attributes:
        axis: that they lie on; 0 is the batch.
        numbers: int64 [length of the axis]; equal numbers are one channel, such as after Flatten.
    """

    axis: int
    numbers: Numbers


@dataclass(frozen=True)
class Fixed:
    """A tensor of which nothing can be cut, and why."""

    reason: str


Tensor = Channels | Fixed


class NotFollowed(Exception):
    """Raised by a rule: this call is beyond it. What it reads and gives is then fixed, for the reason in the message."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of one layer.

    Attributes:
        path: name of the layer; `outer/inner` inside a nested model.
        layer: the Keras layer.
        inputs: of all tensors among the arguments, in order.
        input_shapes: of the same tensors, batch axis included.
        output_shapes: of all results, batch axis included.
        args, kwargs: as the layer was called; Keras tensors and constants.
        source: the first Keras tensor among the arguments; None inside a nested model, whose tensors the outer one cannot reach.
    """

    path: str
    layer: Any
    inputs: Sequence[Tensor]
    input_shapes: Sequence[Shape]
    output_shapes: Sequence[Shape]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    source: Any

    @property
    def type(self) -> str:
        return type(self.layer).__name__

    @property
    def rank(self) -> int:
        """Of the first input, batch axis included."""
        return len(self.input_shapes[0])

    @property
    def data_axis(self) -> int:
        """The axis of the first input that the layer itself takes for the channels."""
        return 1 if getattr(self.layer, "data_format", None) == "channels_first" else self.rank - 1

    @property
    def channels(self) -> Channels:
        """The one input of a layer that only passes channels on."""
        (tensor,) = self.inputs
        if isinstance(tensor, Fixed):
            raise NotFollowed(tensor.reason)
        return tensor

    def channels_on(self, axis: int) -> Channels:
        """The same, for a layer that works channel by channel along `axis`."""
        if self.channels.axis != axis:
            raise NotFollowed(f"{self.type} works along axis {axis}, the channels lie on axis {self.channels.axis}")
        return self.channels


Rule = Callable[["Trace", Call], Tensor]


@dataclass(frozen=True, eq=False)
class WeightAxis:
    """An axis of a weight with channels on it.

    Attributes:
        layer, type, weight: path of the layer, its class, and the name of its attribute.
        shape: of the weight.
        axis: of it, from 0.
        role: whether the layer makes these channels, carries them on one by one, or reads them (sums over them).
        numbers: of the channel at each position.
        source: of "reads": the Keras tensor that is read.
    """

    layer: str
    type: str
    weight: str
    shape: tuple[int, ...]
    axis: int
    role: Role
    numbers: Numbers
    source: Any = None


@dataclass(frozen=True, eq=False)
class SizeField:
    """A number in a layer's config that counts channels: `field`, or its element `index`."""

    layer: str
    field: str
    index: int | None
    numbers: Numbers


@dataclass(eq=False)
class Trace:
    """What a walk has recorded; rules write to it.

    Attributes:
        weights: axes with channels on them, by layer, weight and axis.
        sizes: numbers in configs that count channels, by layer and field.
        pairs: channels that go together, position by position.
        frozen: channels that must stay, and why.
        held: layers of which nothing may go, and why; held_inputs: layers that must go on reading all they read.
        num_channels: numbers that are given away.
    """

    weights: dict[tuple[str, str, int], WeightAxis] = field(default_factory=dict)
    sizes: dict[tuple[str, str], SizeField] = field(default_factory=dict)
    pairs: list[tuple[Numbers, Numbers]] = field(default_factory=list)
    frozen: list[tuple[Numbers, str]] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    held_inputs: dict[str, str] = field(default_factory=dict)
    num_channels: int = 0

    def new(self, count: int) -> Numbers:
        """Numbers that nothing else has."""
        self.num_channels += count
        return np.arange(self.num_channels - count, self.num_channels)

    def couple(self, one: Numbers, other: Numbers) -> None:
        """From now on the channels at equal positions go together."""
        if one is not other:
            self.pairs.append((one, other))

    def freeze(self, tensor: Tensor, reason: str) -> None:
        """None of these channels may go."""
        if isinstance(tensor, Channels):
            self.frozen.append((tensor.numbers, reason))

    def leave_alone(self, call: Call, reason: str) -> None:
        """Nothing that this call reads may go, nor anything of its layer, whatever the layer's other calls are."""
        for tensor in call.inputs:
            self.freeze(tensor, reason)
        self.held[call.path] = reason

    def reads_fixed(self, call: Call) -> None:
        """This call reads a tensor that is fixed, so no other call of the layer may read less; what the layer makes may go."""
        for tensor in call.inputs:
            if isinstance(tensor, Fixed):
                self.held_inputs[call.path] = f"{call.path}: is also called on {tensor.reason}"

    def freeze_held(self) -> None:
        """After the last call: freezes what one call of a layer holds and others would let go."""
        counted: list[WeightAxis | SizeField] = [*self.weights.values(), *self.sizes.values()]
        for axis in counted:
            if axis.layer in self.held:
                self.frozen.append((axis.numbers, self.held[axis.layer]))
        for weight in self.weights.values():
            if weight.role == "reads" and weight.layer in self.held_inputs:
                self.frozen.append((weight.numbers, self.held_inputs[weight.layer]))

    def make(self, call: Call, weight: str, axis: int, count: int) -> Numbers:
        """The channels that a layer makes along an axis of a kernel; a shared layer makes the same ones at each call."""
        known = self.weights.get((call.path, weight, axis))
        if known is not None:
            return known.numbers
        numbers = self.new(count)
        self._add(call, weight, axis, "makes", numbers)
        return numbers

    def carry(self, call: Call, weights: Sequence[str], axis: int, numbers: Numbers) -> None:
        """These weights, where the layer has them, hold one position per channel."""
        for weight in weights:
            if getattr(call.layer, weight, None) is not None:
                self._add(call, weight, axis, "carries", numbers)

    def read(self, call: Call, weight: str, axis: int, tensor: Tensor) -> None:
        """This axis of a kernel is summed over; nothing of a fixed tensor is ever cut."""
        if isinstance(tensor, Channels):
            self._add(call, weight, axis, "reads", tensor.numbers)

    def size(self, path: str, name: str, numbers: Numbers, index: int | None = None) -> None:
        """A number in the config of the layer at `path` counts these channels."""
        known = self.sizes.setdefault((path, name), SizeField(path, name, index, numbers))
        if known.index != index:
            raise NotFollowed("its calls have their channels on different axes")
        self.couple(known.numbers, numbers)

    def _add(self, call: Call, weight: str, axis: int, role: Role, numbers: Numbers) -> None:
        """Records an axis; of a layer that was called before, the channels of both calls meet in one weight."""
        known = self.weights.get((call.path, weight, axis))
        if known is not None:
            self.couple(known.numbers, numbers)
            return
        shape = tuple(getattr(call.layer, weight).shape)
        source = call.source if role == "reads" else None
        self.weights[call.path, weight, axis] = WeightAxis(call.path, call.type, weight, shape, axis, role, numbers, source)
