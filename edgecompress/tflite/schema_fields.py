"""The fields of every table of the .tflite schema, so that whole files can be read and written by one piece of code each.

`ai_edge_litert.schema_py_generated` holds the schema as functions that add a field to a builder. Called with a builder that only takes
notes, they tell number, type and default of each field. What a reference refers to is not among it, hence the list below.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ai_edge_litert import schema_py_generated as schema

REFERENCE = "UOffsetTRelative"  # the generated code's word for a field that refers to a string, a vector or a table

# Table -> attribute:what of its references. A format of NumPy is a vector of numbers, "text" a string, a name the table of that name,
# with [] a vector of them; "union" is a table whose kind the field before it tells.
_REFERENCES = {
    "Model": "operatorCodes:OperatorCode[] subgraphs:SubGraph[] description:text buffers:Buffer[] metadataBuffer:i4 metadata:Metadata[] "
    "signatureDefs:SignatureDef[] externalBufferGroups:ExternalBufferGroup[] externalBuffers:ExternalBuffer[]",
    "OperatorCode": "customCode:text",
    "SubGraph": "tensors:Tensor[] inputs:i4 outputs:i4 operators:Operator[] name:text",
    "Tensor": "shape:i4 name:text quantization:QuantizationParameters sparsity:SparsityParameters shapeSignature:i4 "
    "variantTensors:VariantSubType[]",
    "VariantSubType": "shape:i4",
    "QuantizationParameters": "min:f4 max:f4 scale:f4 zeroPoint:i8 details:union",
    "CustomQuantization": "custom:u1",
    "BlockwiseQuantization": "blockShape:i4",
    "MultiAxisQuantization": "quantizedDimensions:i4",
    "SparsityParameters": "traversalOrder:i4 blockMap:i4 dimMetadata:DimensionMetadata[]",
    "DimensionMetadata": "arraySegments:union arrayIndices:union",
    "Int32Vector": "values:i4",
    "Uint16Vector": "values:u2",
    "Uint8Vector": "values:u1",
    "Operator": "inputs:i4 outputs:i4 builtinOptions:union customOptions:u1 mutatingVariableInputs:u1 intermediates:i4 "
    "builtinOptions2:union",
    "Buffer": "data:u1",
    "ExternalBufferGroup": "name:text",
    "ExternalBuffer": "packing:text",
    "Metadata": "name:text",
    "SignatureDef": "inputs:TensorMap[] outputs:TensorMap[] signatureKey:text",
    "TensorMap": "name:text",
    "BucketizeOptions": "boundaries:f4",
    "ConcatEmbeddingsOptions": "numColumnsPerChannel:i4 embeddingDimPerChannel:i4",
    "FullyConnectedOptions": "quantSpec:text",
    "ReshapeOptions": "newShape:i4",
    "SqueezeOptions": "squeezeDims:i4",
    "VarHandleOptions": "container:text sharedName:text",
    "StableHLOCompositeOptions": "name:text compositeAttributes:u1",
    "StablehloBroadcastInDimOptions": "broadcastDimensions:i8",
    "StablehloCaseOptions": "branchSubgraphIndices:i4",
    "StablehloConvolutionOptions": "windowStrides:i8 padding:i8 lhsDilation:i8 rhsDilation:i8 windowReversal:u1 inputSpatialDimensions:i8 "
    "kernelSpatialDimensions:i8 outputSpatialDimensions:i8 precisionConfig:u4",
    "StablehloCustomCallOptions": "callTargetName:text backendConfig:text calledComputations:i4 customAttributes:u1",
    "StablehloDotGeneralOptions": "lhsBatchingDimensions:i8 rhsBatchingDimensions:i8 lhsContractingDimensions:i8 "
    "rhsContractingDimensions:i8 precisionConfig:u4",
    "StablehloDynamicSliceOptions": "sliceSizes:i8",
    "StablehloGatherOptions": "offsetDims:i8 collapsedSliceDims:i8 startIndexMap:i8 sliceSizes:i8",
    "StablehloPadOptions": "edgePaddingLow:i8 edgePaddingHigh:i8 interiorPadding:i8",
    "StablehloReduceOptions": "dimensions:i8",
    "StablehloReduceWindowOptions": "windowDimensions:i8 windowStrides:i8 baseDilations:i8 windowDilations:i8 padding:i8",
    "StablehloScatterOptions": "updateWindowDims:i8 insertedWindowDims:i8 scatterDimsToOperandDims:i8",
    "StablehloSliceOptions": "startIndices:i8 limitIndices:i8 strides:i8",
    "StablehloTransposeOptions": "permutation:i8",
}

_FORMATS = {"Bool": "?", "Int8": "b", "Uint8": "B", "Int16": "h", "Uint16": "H", "Int32": "i", "Uint32": "I", "Int64": "q", "Uint64": "Q"}
_FORMATS |= {"Float32": "f", "Float64": "d"}

UNIONS = {
    "details": schema.QuantizationDetails,
    "arraySegments": schema.SparseIndexVector,
    "arrayIndices": schema.SparseIndexVector,
    "builtinOptions": schema.BuiltinOptions,
    "builtinOptions2": schema.BuiltinOptions2,
}

Kind = Literal["number", "numbers", "text", "table", "tables", "union", "unknown"]


@dataclass(frozen=True)
class Field:
    """One field of a table.

    Attributes:
        number: in the table.
        attribute: of the table's object form.
        kind: "numbers" is a vector of numbers, "tables" one of tables; "unknown" a reference that this module does not list.
        what: number: the format for `struct`; numbers: the format for NumPy; table, tables: the table's name; else "".
        default: of a number; None for all others.
    """

    number: int
    attribute: str
    kind: Kind
    what: str
    default: float | bool | None


class _Notes:
    """A builder that notes what it is asked to add."""

    kind: str
    number: int
    default: Any

    def __getattr__(self, name: str) -> Any:
        def note(number: int, _: Any, default: Any) -> None:
            self.kind, self.number, self.default = name.removeprefix("Prepend").removesuffix("Slot"), number, default

        return note


def new_table(table: str) -> Any:
    """An empty object form of a table."""
    return getattr(schema, f"{table}T")()


@cache
def fields_of(table: str) -> tuple[Field, ...]:
    """The fields of a table, in the order of their numbers."""
    references = dict(pair.split(":") for pair in _REFERENCES.get(table, "").split())
    fields, notes = [], _Notes()
    for attribute in vars(new_table(table)):
        getattr(schema, f"{table}Add{attribute[0].upper()}{attribute[1:]}")(notes, 0)
        if notes.kind != REFERENCE:
            fields.append(Field(notes.number, attribute, "number", _FORMATS[notes.kind], notes.default))
        else:
            fields.append(_reference(notes.number, attribute, references.get(attribute, "unknown")))
    return tuple(fields)


def _reference(number: int, attribute: str, what: str) -> Field:
    """A field that refers to something."""
    if what in ("text", "union", "unknown"):
        return Field(number, attribute, what, "", None)  # type: ignore[arg-type]
    if what[-1].isdigit():
        return Field(number, attribute, "numbers", f"<{what}", None)
    return Field(number, attribute, "tables" if what.endswith("[]") else "table", what.removesuffix("[]"), None)


@cache
def union_tables(attribute: str) -> dict[int, str]:
    """Value -> table of a union; 0, which stands for none, is left out."""
    return {value: name for name, value in vars(UNIONS[attribute]).items() if isinstance(value, int) and value}
