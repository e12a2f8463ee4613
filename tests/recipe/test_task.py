"""The `task:` section: a loss and metrics of the user's own beside Keras names."""

import re

import pytest

from edgecompress.recipe.schema import Task

REFUSED = [
    ("own_loss: mine.py", r"task\.own_loss: own_loss must be file\.py:function or .*\. Received: 'mine\.py'\."),
    ("loss: mine.py:focal", r"task\.loss: loss must be a Keras name, .* stands in own_loss\. Received: 'mine\.py:focal'\."),
    (
        "own_metrics: {mine: {function: m.py:f, rises: true}}",
        r"task: own_metrics must be named in metrics as well\. Received: mine only .*",
    ),
    ("own_metrics: {auc: {function: m.py:f, rises: true}}", r"task: own_metrics must have names of their own\. Received: auc\."),
    ("metrics: [size], own_metrics: {size: {function: m.py:f, rises: true}}", r"task: own_metrics must have .* own\. Received: size\."),
    (
        "metrics: [loss_kd], own_metrics: {loss_kd: {function: m.py:f, rises: true}}",
        r"task: own_metrics must have names that do not begin with loss_ or val_ or validation_\. Received: loss_kd\.",
    ),
    ("metrics: [Mine], own_metrics: {Mine: {function: m.py:f, rises: true}}", r"task: own_metrics must have names of small .* 'Mine'\."),
    ("metrics: [mine], own_metrics: {mine: m.py:f}", r"task\.own_metrics\.mine: mine must be a mapping\. Received: 'm\.py:f'\."),
    ("metrics: [mine], own_metrics: {mine: {function: m.py:f}}", r"task\.own_metrics\.mine\.rises: rises must be given: .*"),
    (
        "metrics: [mine], own_metrics: {mine: {functoin: m.py:f, function: m.py:f, rises: true}}",
        r"task\.own_metrics\.mine\.functoin: key must be one of function, rises\. .* Did you mean 'function'\?",
    ),
    (
        "metrics: [mine], own_metrics: {mine: {function: m, rises: true}}",
        r"task\.own_metrics\.mine\.function: function must be file\.py:.*",
    ),
    ("metrics: [miene], own_metrics: {mine: {function: m.py:f, rises: true}}", r"task\.metrics: .* Did you mean 'mine'\?"),
]


@pytest.mark.parametrize(("fields", "pattern"), REFUSED)
def test_what_is_wrong_is_named_with_its_line(small, refusal, fields, pattern):
    assert re.fullmatch(rf"r\.yaml:4: {pattern}", refusal(small + f"task: {{{fields}}}"))


def test_a_metric_s_direction_is_known():
    task = Task.model_validate({"metrics": ["cost", "accuracy"], "own_metrics": {"cost": {"function": "m.py:f", "rises": False}}})
    assert [task.rises(name) for name in ("cost", "accuracy", "size")] == [False, True, False]
