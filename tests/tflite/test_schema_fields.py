"""The list of references agrees with the generated schema."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgecompress.tflite.schema_fields import UNIONS, fields_of, new_table, union_tables

TABLES = [name[:-1] for name, made in vars(schema).items() if name.endswith("T") and isinstance(made, type) and hasattr(made, "Pack")]


def test_every_reference_of_the_schema_is_listed():
    assert len(TABLES) > 150
    unknown = [(table, field.attribute) for table in TABLES for field in fields_of(table) if field.kind == "unknown"]
    assert unknown == []


def test_the_fields_of_a_table_are_all_of_its_object_form():
    for table in TABLES:
        assert [field.attribute for field in fields_of(table)] == list(vars(new_table(table)))


def test_defaults_and_formats_are_those_of_the_schema():
    fields = {field.attribute: field for field in fields_of("Conv2DOptions")}
    assert (fields["dilationHFactor"].default, fields["dilationHFactor"].what) == (1, "i")
    assert (fields["padding"].number, fields["padding"].what) == (0, "b")
    assert {field.attribute: field.number for field in fields_of("SignatureDef")}["subgraphIndex"] == 4  # 3 was given up


def test_vectors_have_the_element_size_that_the_generated_code_writes():
    class Builder:
        def StartVector(self, size, number, alignment):  # the generated code calls it so
            self.size = size

    for table in TABLES:
        for field in fields_of(table):
            if field.kind in ("numbers", "tables"):
                builder = Builder()
                getattr(schema, f"{table}Start{field.attribute[0].upper()}{field.attribute[1:]}Vector")(builder, 1)
                assert builder.size == (4 if field.kind == "tables" else np.dtype(field.what).itemsize), (table, field)


def test_every_table_of_a_union_is_known():
    for attribute in UNIONS:
        assert set(union_tables(attribute).values()) <= set(TABLES)
