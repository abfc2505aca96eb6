"""Which nodes of a Polars expression do what: one readable table per category.

Names are those of ``tree.tag_of``. Whatever is in no table counts as depending on other rows, so a
function that a later Polars adds is slow, never wrong. ``tests/plan/test_expression_surface.py``
calls every public method of ``pl.Expr`` and holds these tables against what Polars does.
"""

from __future__ import annotations


def tags(prefix: str, names: str) -> frozenset[str]:
    """Return the names in a text, each with a prefix."""
    return frozenset(f"{prefix}{name}" for name in names.split())


NUMERIC = tags(
    "",
    """Abs Sign Negate Ceil Floor Round RoundSF Truncate Clip Exp Log Log1p Erf Erfc Atan2 Cut Hash
    Reinterpret ToPhysical""",
) | tags("Pow.", "Generic Sqrt Cbrt")

TRIGONOMETRY = tags(
    "Trigonometry.",
    """ArcCos ArcCosh ArcSin ArcSinh ArcTan ArcTanh Cos Cosh Cot Degrees Radians Sin Sinh Tan
    Tanh""",
)

BITWISE = tags(
    "Bitwise.", "CountOnes CountZeros LeadingOnes LeadingZeros TrailingOnes TrailingZeros"
)

BOOLEAN = tags(
    "Boolean.",
    """IsBetween IsClose IsFinite IsInfinite IsNan IsNotNan IsNull IsNotNull IsIn Not AllHorizontal
    AnyHorizontal""",
)

ROWWISE = tags(
    "",
    """AsStruct Coalesce FillNull Replace ReplaceStrict RepeatBy SumHorizontal MeanHorizontal
    MinHorizontal MaxHorizontal""",
) | tags("FillNullWithStrategy.", "Zero One")

RANGES = tags("Range.", "IntRanges DateRanges DatetimeRanges TimeRanges LinearSpaces")

STRINGS = tags(
    "StringExpr.",
    """Contains ContainsAny CountMatches ConcatHorizontal EndsWith EscapeRegex Extract ExtractAll
    ExtractGroups ExtractMany Find FindMany Format Head HexDecode HexEncode Base64Decode
    Base64Encode JsonPathMatch LenBytes LenChars Lowercase Normalize PadEnd PadStart Replace
    ReplaceMany Reverse Slice Split SplitExact SplitN StartsWith StripChars StripCharsEnd
    StripCharsStart StripPrefix StripSuffix Strptime Tail Titlecase ToDecimal ToInteger Uppercase
    ZFill""",
)

TEMPORAL = tags(
    "TemporalExpr.",
    """BaseUtcOffset CastTimeUnit Century Combine ConvertTimeZone DSTOffset Date DatetimeFunction
    Day DaysInMonth Duration Hour IsLeapYear IsoYear Microsecond Millennium Millisecond Minute Month
    MonthEnd MonthStart Nanosecond OffsetBy OrdinalDay Quarter Replace ReplaceTimeZone Round Second
    Time TimeStamp ToString TotalDays TotalHours TotalMicroseconds TotalMilliseconds TotalMinutes
    TotalNanoseconds TotalSeconds Truncate Week WeekDay Year""",
) | tags("Business.", "AddBusinessDay BusinessDayCount IsBusinessDay")

LISTS = tags(
    "ListExpr.",
    """ArgMax ArgMin Concat Contains CountMatches Diff DropNulls Gather GatherEvery Get Join
    Length Max Mean Median Min SetOperation Shift Slice Sort Std Sum ToArray ToMap ToStruct Var""",
)

ARRAYS = tags(
    "ArrayExpr.",
    """ArgMax ArgMin Concat Contains CountMatches Dot Get Join Length Max Mean Median Min Shift
    Sort Std Sum ToList ToStruct Var""",
)

BINARY = tags(
    "BinaryExpr.",
    """Base64Decode Base64Encode Contains EndsWith Get Head HexDecode HexEncode Reinterpret Size
    Slice StartsWith Tail""",
)

CATEGORICAL = tags("Categorical.", "EndsWith LenBytes LenChars Physical Slice StartsWith To")

STRUCTS = tags(
    "StructExpr.",
    """Drop FieldByName JsonEncode MapFieldNames PrefixFields RenameFields SuffixFields""",
) | tags("Extension.", "Storage")

ELEMENTWISE = (
    NUMERIC
    | TRIGONOMETRY
    | BITWISE
    | BOOLEAN
    | ROWWISE
    | RANGES
    | STRINGS
    | TEMPORAL
    | LISTS
    | ARRAYS
    | BINARY
    | CATEGORICAL
    | STRUCTS
)
"""Functions whose value in a row depends on that row alone."""

AGGREGATIONS = (
    tags(
        "Agg.",
        """Count First FirstNonNull Implode Item Last LastNonNull Max Mean Median Min NUnique
        Std Sum Var""",
    )
    | tags(
        "",
        """ApproxNUnique ApproxQuantile ArgMax ArgMin Correlation Entropy IndexOf Kurtosis
        LowerBound MaxBy MinBy NullCount Product Quantile Skew UpperBound""",
    )
    | tags("Bitwise.", "And Or Xor")
    | tags("Boolean.", "All Any HasNulls IsEmpty IsSorted")
    | tags("StringExpr.", "ConcatVertical")
)
"""Functions that give one value whatever the length of their input."""

LITERAL_PARAMETERS: dict[str, tuple[int, ...]] = {
    "Boolean.IsIn": (1,),
    "Replace": (1, 2),
    "ReplaceStrict": (1, 2),
    "StringExpr.ContainsAny": (1,),
    "StringExpr.ExtractMany": (1,),
    "StringExpr.FindMany": (1,),
    "StringExpr.ReplaceMany": (1, 2),
    "Business.AddBusinessDay": (2,),
    "Business.BusinessDayCount": (2,),
    "Business.IsBusinessDay": (1,),
}
"""Inputs that are read as one collection: given as a column, they are a set of all its rows."""

STRUCTURAL = frozenset(
    {"Alias", "KeepName", "RenameAlias", "Cast", "BinaryExpr", "Ternary", "StructEval"}
)
"""Nodes that are not functions and work row by row."""

FLATTENING = frozenset(
    {
        "AsStruct",
        "Coalesce",
        "SumHorizontal",
        "MeanHorizontal",
        "MinHorizontal",
        "MaxHorizontal",
        "Boolean.AllHorizontal",
        "Boolean.AnyHorizontal",
        "StringExpr.ConcatHorizontal",
        "ListExpr.Concat",
        "ArrayExpr.Concat",
        "FoldHorizontal",
        "ReduceHorizontal",
        "CumFoldHorizontal",
        "CumReduceHorizontal",
    }
)
"""Functions into which a selector expands as several inputs rather than several outputs."""
