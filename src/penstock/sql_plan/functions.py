"""The one table of what can stand in an expression."""

from __future__ import annotations

import polars as pl

from penstock.sql_plan import (
    arithmetic,
    array_shapes,
    bucket_functions,
    casts,
    choices,
    clock,
    comparisons,
    encoding_functions,
    json_changes,
    json_functions,
    list_functions,
    math_functions,
    pattern_functions,
    regex_functions,
    row_functions,
    scalars,
    span_functions,
    text_functions,
    time_functions,
)
from penstock.sql_plan.scalars import Scalars

_NODES = {
    **scalars.NODES,
    **choices.NODES,
    **casts.NODES,
    **comparisons.NODES,
    **arithmetic.NODES,
    **clock.NODES,
    **json_functions.NODES,
    **json_changes.NODES,
    **regex_functions.NODES,
    **row_functions.NODES,
    **text_functions.NODES,
    **time_functions.NODES,
    **span_functions.NODES,
    **math_functions.NODES,
    **list_functions.NODES,
    **array_shapes.NODES,
}
_FUNCTIONS = {
    **text_functions.FUNCTIONS,
    **pattern_functions.FUNCTIONS,
    **encoding_functions.FUNCTIONS,
    **regex_functions.FUNCTIONS,
    **row_functions.FUNCTIONS,
    **json_functions.FUNCTIONS,
    **json_changes.FUNCTIONS,
    **list_functions.FUNCTIONS,
    **array_shapes.FUNCTIONS,
    **math_functions.FUNCTIONS,
    **time_functions.FUNCTIONS,
    **bucket_functions.FUNCTIONS,
    **clock.FUNCTIONS,
    **span_functions.FUNCTIONS,
}
_READS = {
    **scalars.READS,
    **choices.READS,
    **casts.READS,
    **comparisons.READS,
    **json_functions.READS,
    **json_changes.READS,
    **arithmetic.READS,
    **text_functions.READS,
    **time_functions.READS,
    **math_functions.READS,
    **list_functions.READS,
    **row_functions.READS,
    **array_shapes.READS,
}


def scalars_over(schema: pl.Schema) -> Scalars:
    """Return the translator of expressions over the columns of a schema."""
    return Scalars(schema, _NODES, _FUNCTIONS, _READS)
