"""Analysis of Polars expressions: expand, classify, decompose, fingerprint."""

from penstock.plan.expressions.classify import Shape, classify, is_deterministic, root_columns
from penstock.plan.expressions.counted import Counted, CountedKind
from penstock.plan.expressions.decompose import Decomposition, decompose
from penstock.plan.expressions.expand import as_exprs, expand, output_schema
from penstock.plan.expressions.fingerprint import fingerprint
from penstock.plan.expressions.monotone import apply_to, monotone_in, slack_ns
from penstock.plan.expressions.partials import Partial
from penstock.plan.expressions.windows import over_keys

__all__ = [
    "Counted",
    "CountedKind",
    "Decomposition",
    "Partial",
    "Shape",
    "apply_to",
    "as_exprs",
    "classify",
    "decompose",
    "expand",
    "fingerprint",
    "is_deterministic",
    "monotone_in",
    "output_schema",
    "over_keys",
    "root_columns",
    "slack_ns",
]
