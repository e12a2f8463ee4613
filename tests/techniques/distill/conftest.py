"""What the distillation tests share."""

import pytest


@pytest.fixture(scope="session")
def few_digits():
    """320 of the handwritten digits to train on, 5 batches an epoch."""
    from edgecompress.data import load_data
    from edgecompress.recipe.schema import Data, Preprocess, Task

    return load_data(Data(source="digits", preprocess=Preprocess(scale=1 / 16), batch_size=64, limit=320), Task(), seed=0)
