"""A recipe written out loads to an equal recipe."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.recipe import Recipe, dump_recipe, load_recipe

FRACTION = st.floats(0.001, 0.999)
POSITIVE = st.floats(1e-9, 1e9)
COUNT = st.integers(1, 1000)
TEXT = st.text(min_size=1, max_size=30) | st.sampled_from(
    ["1e-3", "off", "010", "null", "~", "${a}", "$${a}", "\x85", "\u2028x", "a: b", "- x", "#", "${", "*a", "0x1"]
)
PATH = TEXT.filter(lambda path: "\0" not in path)


def mapping(required=None, **optional):
    return st.fixed_dictionaries(required or {}, optional=optional)


TRAIN = mapping(
    {"epochs": COUNT},
    learning_rate=POSITIVE,
    optimizer=st.sampled_from(["adam", "sgd"]),
    schedule=st.sampled_from(["constant", "cosine"]),
    early_stop=st.none() | COUNT,
    freeze=st.lists(TEXT.filter(lambda text: not text.startswith("re:")), max_size=2),
)
STAGE = st.one_of(
    mapping({"technique": st.just("prune_weights"), "sparsity": FRACTION}, scope=st.sampled_from(["layer", "global"]), train=TRAIN),
    mapping({"technique": st.just("cluster_weights")}, clusters=st.integers(2, 256), train=st.none() | TRAIN),
    TRAIN.map(lambda train: {"technique": "train", **train}),
)
RECIPES = mapping(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
        "data": mapping(
            {"source": st.sampled_from(["npz", "image_folder"]), "path": PATH},
            validation=FRACTION,
            limit=st.none() | COUNT,
            labels=st.none() | PATH,
            preprocess=mapping(scale=st.floats(allow_nan=False, allow_infinity=False), std=st.lists(POSITIVE, min_size=1, max_size=3)),
        ),
        "model": mapping({"source": st.just("builder"), "name": st.sampled_from(["cnn", "mlp"])}, width=COUNT, train=TRAIN)
        | mapping({"source": st.just("file"), "path": PATH}),
    },
    seed=st.integers(0, 2**32 - 1),
    stages=st.lists(STAGE, max_size=4),
    export=st.sampled_from([{}, {"format": "float16"}, {"format": "dynamic", "only": ["type:Dense"]}, {"io": "uint8"}]),
    benchmark=st.none() | mapping(threads=st.lists(COUNT, min_size=1, max_size=3), runs=st.integers(50, 5000)),
    target=mapping(device=st.none() | TEXT),
    goal=mapping(metric_drop=st.floats(-1, 1), size_kb=st.none() | POSITIVE),
)


@settings(deadline=None)
@given(RECIPES)
def test_any_recipe_survives_writing_and_loading(values):
    recipe = Recipe.model_validate(values)
    assert load_recipe("dump.yaml", text=dump_recipe(recipe)) == recipe


def test_every_default_is_written_in_the_user_s_form(small):
    overrides = {"stages": ["cluster_weights"], "goal.p95_ms": 2, "data.labels": "a$${b}"}
    text = dump_recipe(load_recipe("r.yaml", overrides, text=small + "vars: {x: 1}"))
    assert "- cluster_weights:" in text
    assert "batch_size: 128" in text
    assert "p95_ms: {limit: 2.0, host: local, threads: 1}" in text
    assert "labels: a$${b}" in text
    assert "vars" not in text
    assert "technique" not in text
