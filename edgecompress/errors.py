"""One tree of errors, and the exit code that each gives on the command line.

    EdgeCompressError
    ├── RecipeError       2  the recipe: its text, keys, values or the order of its stages
    ├── DataError         2  the data set: missing, truncated, wrong shapes, NaN, labels out of range
    ├── ModelError        2  the model: cannot be loaded, is not supported, has nothing to work on
    ├── TrainingError     2  a training that diverged (NaN or infinite loss)
    ├── ConversionError   2  the converter or the target runtime does not take the model
    ├── StorageError      2  the run folder cannot be written (read-only, full)
    ├── GoalMissed        3  everything ran, a goal of the recipe was not met
    ├── DeviceError       4  a device (this machine included) failed to run a model
    └── RunLocked         5  the run folder is used by another process

Raise the narrowest class, with a message that says what is wrong, what was expected and what came.
"""


class EdgeCompressError(Exception):
    """Base of all errors that a user can act on. `exit_code` is what the command line returns."""

    exit_code = 2


class RecipeError(EdgeCompressError):
    """A recipe that does not say something the tool can do; the message names file and line."""


class DataError(EdgeCompressError):
    """Data that is missing, truncated, or not what the recipe says."""


class ModelError(EdgeCompressError):
    """A model that cannot be loaded or that a stage cannot work on."""


class TrainingError(EdgeCompressError):
    """A training that diverged; the message names stage and step."""


class ConversionError(EdgeCompressError):
    """A model that the converter, or the target runtime, does not take."""


class StorageError(EdgeCompressError):
    """A run folder that cannot be written."""


class GoalMissed(EdgeCompressError):
    """Everything ran, but a goal of the recipe was not met."""

    exit_code = 3


class DeviceError(EdgeCompressError):
    """A device that failed to run a model: crash, time-out, wrong golden outputs."""

    exit_code = 4


class RunLocked(EdgeCompressError):
    """The run folder is in use by another process."""

    exit_code = 5
