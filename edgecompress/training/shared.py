"""One training on all devices of a strategy, and its result back in the model that was given."""

from collections.abc import Sequence

from edgecompress.backend import keras, tf
from edgecompress.keeps import Keep
from edgecompress.models.copying import set_weights
from edgecompress.recipe.training import Training
from edgecompress.stage import Context
from edgecompress.training.class_weights import class_weights
from edgecompress.training.course import run_epochs
from edgecompress.training.feed import Feed, validation
from edgecompress.training.replicas import Replica, ShareStatistics, Slices
from edgecompress.training.variables import values_of


def share(
    strategy: tf.distribute.Strategy, model: keras.Model, train: Training, context: Context, keeps: Sequence[Keep], *, writes: bool = True
) -> list[dict[str, float]]:
    """Trains `model` in place on several devices; with workers, each of them calls this with equal arguments.

    Args:
        strategy: of tf.distribute.
        writes: False: nothing is left in the folder, for workers that are not the chief.

    Raises:
        TrainingError: as `fit`, for all workers at the same step.
    """
    data, slices = context.data, Slices(strategy, context.data.batch_size)
    context.progress.say(f"{context.stage}: trains on {strategy.num_replicas_in_sync} devices, which share each batch of {data.batch_size}")

    def batches(first_epoch: int) -> tf.data.Dataset:
        return slices.epochs(
            data.train, seed=context.seed, first_epoch=first_epoch, augment=data.augments, class_weights=class_weights(train, data)
        )

    num_steps, checked = slices.num_steps(len(data.train)), validation(context)
    steps = {"steps_per_epoch": num_steps, "validation_steps": int(checked.cardinality())}
    feed = Feed(batches, slices.validation(checked), num_steps, steps=steps)
    with strategy.scope(), data.train.readable(), data.validation.readable():
        replica = Replica(model, keeps)
        callbacks = [ShareStatistics()]
        rows = run_epochs(replica, replica.inner, train, context, feed, callbacks=callbacks, writes=writes)
        trained = values_of(replica.inner)
    set_weights(model, trained)
    return rows
