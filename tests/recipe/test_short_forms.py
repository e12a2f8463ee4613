"""What may be written shorter means the same."""

from edgecompress.recipe import load_recipe


def test_a_stage_is_written_as_a_name_or_as_a_mapping(small):
    stages = load_recipe("r.yaml", text=small + "stages:\n  - cluster_weights\n  - cluster_weights:\n  - cluster_weights: {}\n").stages
    assert [(stage.technique, stage.clusters) for stage in stages] == [("cluster_weights", 16)] * 3


def test_fractions_are_numbers(small):
    preprocess = load_recipe(
        "r.yaml", {"data.preprocess": {"scale": "1/255", "mean": ["-1/2"], "std": [".5 / 2."]}}, text=small
    ).data.preprocess
    assert (preprocess.scale, preprocess.mean, preprocess.std) == (1 / 255, [-0.5], [0.25])


def test_short_forms_say_the_same_as_long_ones(small):
    short = load_recipe("r.yaml", {"data.augment.shift": 0.1}, text=small).data
    assert short.augment.shift == [0.1, 0.1]
    named = small.replace("{source: digits}", "{source: npz, path: x, inputs: [a, b]}").replace(
        "source: builder, name: cnn", "source: file, path: m"
    )
    assert list(load_recipe("r.yaml", text=named).data.inputs) == ["a", "b"]
