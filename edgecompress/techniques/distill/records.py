"""Who teaches whom, in words: for the plan and the report."""

from collections.abc import Iterator, Sequence

from edgecompress.backend import keras
from edgecompress.graph.layers import wrapped_layer
from edgecompress.stage import LayerRecord
from edgecompress.techniques.distill.pairs import Pair, layer_output
from edgecompress.techniques.distill.teachers import Teacher
from edgecompress.techniques.distill.terms import Term


def lesson_records(teachers: Sequence[Teacher], student: keras.Model, terms: Sequence[Term]) -> list[LayerRecord]:
    """One record per teacher, and one per pair of layers of each loss."""
    words = "teaches; {:,} parameters, none of them in the result"
    records = [LayerRecord(teacher.name, "teacher", "skipped", words.format(teacher.model.count_params())) for teacher in teachers]
    for term in terms:
        records += _pair_records(term, teachers[0].model, student)
    return records


def student_record(student: keras.Model, how: str) -> LayerRecord:
    """The student as a whole."""
    return LayerRecord(student.name, "student", "changed", f"{how}; {student.count_params():,} parameters")


def _pair_records(term: Term, teacher: keras.Model, student: keras.Model) -> Iterator[LayerRecord]:
    """What each paired layer of the student learns from."""
    for number, pair in enumerate(term.pairs):
        adaptor = term.adaptors[number]
        theirs, ours = layer_output(teacher, pair.teacher).shape[1:], layer_output(student, pair.student).shape[1:]
        bridge = "" if adaptor is None else f"; {ours[-1]} to {theirs[-1]} channels by an adaptor, dropped after training"
        reason = f"{term.name}: {list(ours)} learns from {pair.teacher} {list(theirs)}{bridge}"
        yield LayerRecord(pair.student, _type_of(student, pair), "changed", reason)


def _type_of(student: keras.Model, pair: Pair) -> str:
    return next(type(wrapped_layer(layer)).__name__ for layer in student.layers if wrapped_layer(layer).name == pair.student)
