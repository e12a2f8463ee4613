"""The section on single classes."""

from edgecompress.report.classes import classes_blocks
from edgecompress.report.schema import Report


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_regressed_classes_and_mistakes_have_their_names(report):
    (block,) = classes_blocks(report)
    assert "beyond noise" in block.paragraphs[0]
    assert "Shirt (61 of 1,000 lost, 12 won)" in block.paragraphs[0]
    mistakes, per_class = block.tables
    assert texts(mistakes) == [["Shirt", "T-shirt/top", "98", "131"]]
    assert texts(per_class)[6] == ["Shirt", "78.00 %", "78.00 %", "75.00 %", "75.00 %"]


def test_no_regressed_class_is_said_too(values):
    values["verdict"]["classes"] = {"regressed": [], "confusions": []}
    (block,) = classes_blocks(Report.model_validate(values))
    assert block.paragraphs[0].startswith("No class is recognized less often than by the baseline beyond noise")
    assert [table.title for table in block.tables] == ["Precision and recall of each class"]


def test_classes_without_names_are_numbers(values):
    values["data"]["class_names"] = []
    (block,) = classes_blocks(Report.model_validate(values))
    assert texts(block.tables[0])[0][:2] == ["6", "0"]


def test_other_tasks_have_no_such_section(values):
    del values["verdict"]["classes"]
    for model in values["metrics"].values():
        for metrics in model.values():
            metrics.pop("per_class", None)
    assert list(classes_blocks(Report.model_validate(values))) == []
