"""Areas in proportion, and words that fit into them."""

import re

import pytest

from edgecompress.report.treemap import HEIGHT, WIDTH, Area, squarify, treemap


def test_areas_are_in_proportion_and_fill_the_drawing():
    amounts = [50.0, 20, 10, 7, 3, 1]
    areas = squarify(amounts, Area(0, 0, WIDTH, HEIGHT))
    sizes = [area.width * area.height for area in areas]
    assert sum(sizes) == pytest.approx(WIDTH * HEIGHT)
    assert [size / sizes[0] for size in sizes] == pytest.approx([amount / 50 for amount in amounts])


def test_no_amount_stands_without_its_name():
    amounts = {f"{number} DEPTHWISE_CONV_2D": max(1, 900 - 40 * number) for number in range(22)}
    for group in re.findall("<g>.*?</g>", treemap("weights", "Weights", amounts).svg):
        name = re.search("<title>(.*?):", group).group(1)
        words = re.findall("<text[^>]*>(.*?)</text>", group)
        assert not words or name.startswith(words[0].rstrip("…"))


def test_names_are_text():
    assert "<b>" not in treemap("weights", "Weights", {"<b>bold</b>": 10}).svg
