"""What a user reads where a field takes several forms and gets none of them: one line, in words."""

import re

import pytest

CNN = "model: {source: builder, name: cnn, train: {epochs: 1%s}}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            (CNN % "", CNN % ", class_weights: balance"),
            "r.yaml:3: model.train.class_weights: class_weights must be 'balanced', or a mapping, or null. Received: 'balance'. "
            "Did you mean 'balanced'?",
        ),
        (
            (CNN % "", CNN % ", class_weights: {a: 0}"),
            "r.yaml:3: model.train.class_weights.a: a must be a number greater than 0. Received: 0.",
        ),
        (
            ("{source: digits}", "{source: csv, path: x, label: 1.5}"),
            "r.yaml:2: data.label: label must be text, or a whole number, or a list of (texts, or whole numbers), or null. Received: 1.5. "
            "As text it stands in quotes: '1.5'.",
        ),
        (
            ("{source: digits}", "{source: csv, path: x, label: [a, null]}"),
            "r.yaml:2: data.label.1: item must be text, or a whole number. Received: None.",
        ),
        (
            ("{source: digits}", "{source: digits, unlabelled: {source: rset}}"),
            "r.yaml:2: data.unlabelled.source: source must be 'rest', or one of 'digits', 'mnist', 'fashion_mnist', 'kmnist', 'cifar10', "
            "'speech_commands', 'npz', 'image_folder', 'csv', 'tfds', 'python'. Received: 'rset'. Did you mean 'rest'?",
        ),
        (
            ("{source: digits}", "{source: digits, unlabelled: {source: minst, path: x}}"),
            "r.yaml:2: data.unlabelled.source: source must be 'rest', or one of 'digits', 'mnist', 'fashion_mnist', 'kmnist', 'cifar10', "
            "'speech_commands', 'npz', 'image_folder', 'csv', 'tfds', 'python'. Received: 'minst'. Did you mean 'mnist'?",
        ),
    ],
)
def test_a_value_of_no_form_is_named_once(small, refusal, change, message):
    assert change[0] in small
    assert refusal(small.replace(*change)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stages: [{factorize: {rank: vbfm}}]",
            "r.yaml:4: stages.0.rank: rank must be a whole number at least 1, or one of 'vbmf', 'sensitivity', or null. Received: 'vbfm'. "
            "Did you mean 'vbmf'?",
        ),
        (
            "search: {order: gven}",
            "r.yaml:4: search.order: order must be one of 'given', 'any', or a list of texts. Received: 'gven'. Did you mean 'given'?",
        ),
        (
            "search: {space: {a: {low: x, high: 1}}}",
            "r.yaml:4: search.space.a.low: low must be a whole number, or a number, or null. Received: 'x'.",
        ),
        ("export: {block: '32'}", "r.yaml:4: export.block: block must be one of 32, 64, 128, 256, or null. Received: '32'."),
        (
            "stages: [{distill: {teacher: {source: file, path: a, widht: 3}, train: {epochs: 1}}}]",
            "r.yaml:4: stages.0.teacher.0.widht: key must be one of source, path, input_shape, train. Received: 'widht'.",
        ),
    ],
)
def test_a_value_of_no_form_is_named_once_below_the_head(small, refusal, text, message):
    assert refusal(small + text) == message


@pytest.mark.parametrize(("name", "quoted"), [("2024", "2024"), ("true", "true"), ("1.5", "1.5")])
def test_a_number_where_text_is_wanted_is_told_to_stand_in_quotes(small, refusal, name, quoted):
    message = refusal(small.replace("name: small", f"name: {name}"))
    assert re.fullmatch(rf"r\.yaml:1: name: name must be at most 100 letters, .*\. As text it stands in quotes: '{quoted}'\.", message)
    assert "quotes" not in refusal(small + "target: {runtime: 2.14}")
