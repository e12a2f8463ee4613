"""Who the workers are: TF_CONFIG as TensorFlow documents it."""

import json

import pytest

from edgecompress.errors import RecipeError
from edgecompress.workers.cluster import cluster_of, config_of


def config(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_workers_are_numbered_and_the_first_is_the_chief():
    cluster = cluster_of(config({"worker": ["a:1", "b:2"]}, index=1))
    assert cluster is not None
    assert (cluster.addresses, cluster.index, cluster.is_chief) == (("a:1", "b:2"), 1, False)
    assert cluster.place(1) == ("b", 2)


def test_job_chief_stands_before_the_workers():
    cluster = cluster_of(config({"worker": ["a:1", "b:2"], "chief": ["[::1]:3"]}, "worker", 0))
    assert cluster is not None
    assert cluster.addresses == ("[::1]:3", "a:1", "b:2")
    assert (cluster.index, cluster.place(0), cluster.jobs[0]) == (1, ("::1", 3), ("chief", 0))


def test_options_of_the_command_line_give_the_same():
    assert cluster_of({"TF_CONFIG": config_of(["a:1", "b:2"], 1)}) == cluster_of(config({"worker": ["a:1", "b:2"]}, index=1))


def test_no_variable_is_no_cluster():
    assert cluster_of({}) is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TF_CONFIG": "{"}, "must be JSON"),
        ({"TF_CONFIG": "[]"}, "must be like"),
        (config({"worker": ["a:1"]}), "two workers or more. Received: 1"),
        (config({"worker": ["a:1", "b"]}), "list of HOST:PORT. Received: 'b'"),
        (config({"worker": ["a:1", "b:99999"]}), "list of HOST:PORT"),
        (config({"worker": "a:1"}), "list of HOST:PORT. Received: 'a:1'"),
        (config({"worker": ["a:1", "a:1"]}), "each address once"),
        (config({"worker": ["a:1", "b:2"]}, index=2), "one of worker 0, worker 1. Received: worker 2"),
        (config({"worker": ["a:1", "b:2"]}, "evaluator"), "one of worker 0, worker 1. Received: evaluator 0"),
        (config({"worker": ["a:1", "b:2"]}, index=None), "one of worker 0, worker 1"),
    ],
)
def test_what_is_wrong_is_said(environment, words):
    with pytest.raises(RecipeError, match=words):
        cluster_of(environment)
