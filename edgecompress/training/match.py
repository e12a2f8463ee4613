"""`match`: new layers learn to give what the layers in whose place they will stand do, all at once, each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.models.rebuild import calls_of
from edgecompress.models.replacing import Part, alone
from edgecompress.progress import Bar
from edgecompress.recipe.stages import Match
from edgecompress.stage import Context
from edgecompress.training.callbacks import History, StopOnNaN
from edgecompress.training.curves import WriteCurves
from edgecompress.training.fit import num_steps_per_epoch

TINY = 1e-12  # a layer that gives zeros only has no size to compare with


def match(model: keras.Model, parts: Mapping[str, Part], config: Match, context: Context) -> None:
    """Trains the layers of `parts` in place, on the training split without augmentation.

    Each part gets the inputs of its layer in the unchanged model; its loss is the squared error of its outputs, as a
    fraction of theirs. A training that was killed starts again: it is short.

    Args:
        model: not changed.
        parts: name of a layer to what will stand in its place.
        config: epochs and learning rate.
        context: data, seed, progress.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    if not config.epochs:
        return
    calls = [call for call in calls_of(model) if call.layer.name in parts]
    blocks = {
        name: alone(part, tuple(next(call for call in calls if call.layer.name == name).args[0].shape[1:])) for name, part in parts.items()
    }
    teacher = keras.Model(model.inputs, [tensor for call in calls for tensor in (call.args[0], call.outputs[0])])
    student = _Student(teacher, [blocks[call.layer.name] for call in calls])
    num_steps = config.epochs * num_steps_per_epoch(context, None)
    student.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(config.learning_rate, num_steps)))
    batches = context.data.train.epochs(context.data.batch_size, seed=context.seed, first_epoch=0, augment=False)
    with context.progress.task(f"{context.stage}: matching", num_steps) as bar, context.data.train.readable():
        history = History()
        curves = WriteCurves(context.curves / "match", history)  # beside those of the recovery that follows
        callbacks = [StopOnNaN(context.stage), history, curves, _Advance(bar)]
        student.fit(batches.map(lambda inputs, _: inputs), epochs=config.epochs, shuffle=False, verbose=0, callbacks=callbacks)


class _Student(keras.Model):
    """The blocks, each given what its layer is given; its loss is what they miss of the layers' outputs.

    Args:
        teacher: gives the input and the output of each layer, in turns. It is no part of the student: it does not train.
        blocks: in the same order.
    """

    def __init__(self, teacher: keras.Model, blocks: Sequence[keras.Model]) -> None:
        super().__init__()
        self._give = tf.function(lambda inputs: teacher(inputs, training=False))
        self.blocks = list(blocks)

    def call(self, inputs: Any, training: bool | None = None) -> list[Any]:
        given = self._give(inputs)
        outputs = [block(tensor, training=training) for block, tensor in zip(self.blocks, given[::2], strict=True)]
        for found, wanted in zip(outputs, given[1::2], strict=True):
            self.add_loss(tf.reduce_mean(tf.square(found - wanted)) / (tf.reduce_mean(tf.square(wanted)) + TINY))
        return outputs


class _Advance(keras.callbacks.Callback):
    """Moves a bar that counts steps."""

    _supports_tf_logs = True

    def __init__(self, bar: Bar) -> None:
        super().__init__()
        self._bar = bar

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._bar.advance()
