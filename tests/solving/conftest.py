"""A tiny model on the digits."""

import pytest

RECIPE = """\
name: tiny
threads: 1
data: {source: digits, preprocess: {scale: 1/16}, batch_size: 64}
model: {source: builder, name: mlp, width: 32, train: {epochs: 8, learning_rate: 1e-2}}
benchmark: null
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The recipe as a file."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path
