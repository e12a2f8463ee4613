"""The allow-list, on configurations as plain data: nothing here needs Keras."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.models.allowed import ACTIVATIONS, FUNCTIONS, LAYERS, find_refused, names_model_optimization, remove_compile_configs


def model_of(*layers: dict) -> dict:
    return {"class_name": "Functional", "config": {"name": "net", "layers": list(layers)}}


def test_plain_model_is_allowed():
    dense = {"module": "keras.layers", "class_name": "Dense", "registered_name": None, "config": {"units": 3, "activation": "relu"}}
    assert find_refused(model_of(dense)) == []


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"class_name": "Lambda", "config": {"function": ["bytecode"]}}, "Lambda"),
        ({"class_name": "__lambda__", "config": {"value": "bytecode"}}, "__lambda__"),
        ({"class_name": "TensorFlowOpLayer", "config": {"node_def": "op: 'ReadFile'"}}, "TensorFlowOpLayer"),
        ({"class_name": "TFOpLambda", "config": {"function": "io.read_file"}}, "TFOpLambda of io.read_file"),
        ({"class_name": "TFOpLambda", "config": {"function": ["io.read_file"]}}, "TFOpLambda of ['io.read_file']"),
        ({"class_name": "TFOpLambda", "config": None}, "TFOpLambda of None"),
        ({"class_name": "SlicingOpLambda", "config": {"function": "io.write_file"}}, "SlicingOpLambda of io.write_file"),
        ({"class_name": "InstanceMethod", "config": {}}, "InstanceMethod"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}, "StringLookup"),
        ({"class_name": "MyLayer", "registered_name": "mine>MyLayer", "config": {}}, "MyLayer"),
        ({"class_name": "Dense", "registered_name": "mine>Dense", "config": {}}, "mine>Dense"),
        ({"class_name": "Dense", "module": "os", "config": {}}, "Dense of module os"),
        ({"class_name": "Dense", "module": "keras_evil.layers", "config": {}}, "Dense of module keras_evil.layers"),
        ({"class_name": "function", "module": "keras.utils", "config": "get_file"}, "function get_file"),
        ({"class_name": "function", "module": "os", "config": "relu"}, "function of module os"),
        ({"class_name": "function", "module": "builtins", "config": "relu", "registered_name": "eval"}, "function relu"),
        ({"class_name": ["Dense"], "config": {}}, "['Dense']"),
        ({"class_name": "__typespec__", "module": "os", "spec_name": "x", "config": []}, "__typespec__"),
    ],
)
def test_what_runs_code_or_reads_files_is_refused_by_name_at_any_depth(part, reason):
    nested = model_of({"class_name": "TimeDistributed", "config": {"layer": [{"deep": ({"kernel_constraint": part},)}]}})
    assert reason in find_refused(nested)


def test_activation_outside_the_list_is_refused():
    assert find_refused(model_of({"class_name": "Dense", "config": {"activation": "deserialize"}})) == ["activation deserialize"]


def test_reasons_are_sorted_without_duplicates():
    lambdas = [{"class_name": "Lambda", "config": {}}, {"class_name": "Lambda", "config": {}}, {"class_name": "Hashing", "config": {}}]
    assert find_refused(model_of(*lambdas)) == ["Hashing", "Lambda"]


def test_no_function_of_the_list_touches_files():
    suspicious = ("io.", "file", "read", "write", "load", "save", "py_function", "numpy_function", "print", "debugging")
    assert not [name for name in FUNCTIONS for word in suspicious if word in name]


def test_no_layer_of_the_list_takes_code_or_a_vocabulary():
    code = {"Lambda", "TensorFlowOpLayer", "InstanceMethod", "ClassMethod"}
    assert not LAYERS & (code | {"TextVectorization", "StringLookup", "IntegerLookup"})


def test_nesting_deeper_than_the_stack_is_searched():
    config: dict = {"class_name": "Lambda", "config": {}}
    for _ in range(100_000):
        config = {"a": [config]}
    assert find_refused(config) == ["Lambda"]


def test_compile_configs_are_dropped_everywhere():
    inner = {"class_name": "Sequential", "config": {}, "compile_config": {"optimizer": {"class_name": "Evil"}}}
    config = {**model_of(inner), "compile_config": {"loss": {"class_name": "Evil"}}}
    remove_compile_configs(config)
    assert "compile_config" not in config
    assert "compile_config" not in inner
    assert find_refused(config) == []


def test_model_optimization_is_noticed():
    assert names_model_optimization(model_of({"class_name": "QuantizeWrapperV2", "config": {}}))
    assert not names_model_optimization(model_of({"class_name": "Dense", "config": {}}))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["Lambda", "Dense", "TFOpLambda", "function"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["class_name", "config", "module", "registered_name", "function", "activation"]), children)
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(json_values)
def test_any_json_is_judged_without_a_crash(config):
    assert isinstance(find_refused(config), list)
    assert isinstance(names_model_optimization(config), bool)


@settings(deadline=None)
@given(json_values, st.text(min_size=1).filter(lambda name: name not in ACTIVATIONS))
def test_hiding_a_lambda_anywhere_never_helps(config, key):
    assert "Lambda" in find_refused({key: [config, {"x": {"class_name": "Lambda", "config": config}}]})
