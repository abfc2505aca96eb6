"""Keys of Kafka messages, without a broker."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from penstock.connectors.kafka.config import kafka_sink
from penstock.connectors.kafka.encoding import KEY, Encoding, KeyFormat, ValueFormat
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "dtype", "key"),
    [
        (7, pl.Int64(), b"7"),
        ("a", pl.String(), b"a"),
        (date(2024, 5, 1), pl.Date(), b"2024-05-01"),
        (Decimal("1.50"), pl.Decimal(10, 2), b"1.50"),
        ("a", pl.Enum(["a"]), b"a"),
        (None, pl.Int64(), None),
    ],
)
def test_a_key_of_any_plain_type_is_its_text(value: Any, dtype: pl.DataType, key: Any) -> None:
    frame = pl.DataFrame({"k": pl.Series([value], dtype=dtype), "n": [1]})
    (part,) = Encoding("t", ValueFormat.DEBEZIUM, ("k",), KeyFormat.TEXT, None, None).encode(
        [frame.with_columns(n=pl.lit(1))]
    )
    assert part.messages[KEY].to_list() == [key]


@pytest.mark.parametrize(
    "dtype", [pl.List(pl.Int64()), pl.Duration("us"), pl.Struct({"a": pl.Int8})]
)
def test_a_key_that_has_no_text_is_refused_before_anything_starts(dtype: pl.DataType) -> None:
    with pytest.raises(ConfigError, match="has no text for a key"):
        kafka_sink("h:9092/t", key="k").validate(pl.Schema({"k": dtype, "n": pl.Int64()}))
