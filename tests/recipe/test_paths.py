"""Fields that are paths: which sources have one, and what no path can hold."""

import re

import pytest


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (
            ("{source: digits}", "{source: digits, path: images}"),
            r"r\.yaml:2: data: path must be absent for source digits, which has none\. Received: 'images'\.",
        ),
        (
            ("{source: digits}", "{source: digits, limit: 20, unlabelled: {source: rest, path: more}}"),
            r"r\.yaml:2: data\.unlabelled: path must be absent for source rest, which has none\. Received: 'more'\.",
        ),
        (
            ("{source: digits}", "{source: digits, unlabelled: {source: npz}}"),
            r"r\.yaml:2: data\.unlabelled: path must be given for source npz\. Received: nothing\.",
        ),
        (
            ("{source: digits}", '{source: mnist, path: "a\\0b"}'),
            r"r\.yaml:2: data\.path: path must be a path without NUL characters\. Received: 'a\\x00b'\.",
        ),
        (
            ("{source: digits}", '{source: digits, labels: "a\\0b"}'),
            r"r\.yaml:2: data\.labels: labels must be a path without NUL characters\. Received: 'a\\x00b'\.",
        ),
        (
            ("{source: builder, name: cnn, train: {epochs: 1}}", '{source: file, path: "a\\0b"}'),
            r"r\.yaml:3: model\.path: path must be a path without NUL characters\. Received: 'a\\x00b'\.",
        ),
        (
            ("{source: builder, name: cnn, train: {epochs: 1}}", '{source: application, name: MobileNet, weights: "\\0"}'),
            r"r\.yaml:3: model\.weights: weights must be a path without NUL characters\. Received: '\\x00'\.",
        ),
        (
            ("{source: digits}", '{source: digits}\ntarget: {latency_table: "a\\0"}'),
            r"r\.yaml:3: target\.latency_table: latency_table must be a path without NUL characters\. Received: 'a\\x00'\.",
        ),
    ],
)
def test_a_bad_path_is_named_with_its_line(small, refusal, change, pattern):
    assert change[0] in small
    assert re.fullmatch(pattern, refusal(small.replace(*change)))
