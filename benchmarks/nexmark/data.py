"""The files that a run reads: Parquet of each table, and one stream of tagged NDJSON."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import penstock as ps
from benchmarks.nexmark.generator import SCHEMAS, SEQ, Nexmark

PART = 500_000
EPOCH = 65_536
"""Events an epoch, of all three kinds together."""

_KINDS = tuple(SCHEMAS)
_EACH = {"person": EPOCH // 50, "auction": EPOCH * 3 // 50, "bid": EPOCH * 46 // 50}
TAGGED = {"event_type": pl.Int64(), **{name: pl.Struct(schema) for name, schema in SCHEMAS.items()}}
SIDE = pl.DataFrame({"key": range(10_000), "value": [str(n) for n in range(10_000)]})


def write(folder: Path, count: int) -> None:
    """Write the first ``count`` events in both forms."""
    for number, frames in enumerate(Nexmark().batches(count, PART)):
        for name, frame in frames.items():
            path = folder / name / f"{number:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.drop(SEQ).write_parquet(path, compression="zstd", compression_level=1)
        path = folder / "events" / f"{number:05d}.ndjson"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_tagged(frames))


def _tagged(frames: dict[str, pl.DataFrame]) -> str:
    """``{"event_type": 2, "bid": {...}}``, in the order of the events."""
    lines = []
    for kind, (name, frame) in enumerate(frames.items()):
        times = [c for c, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
        text = frame.with_columns(pl.col(times).dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"))
        inside = pl.struct(pl.exclude(SEQ)).struct.json_encode()
        head = pl.lit(f'{{"event_type":{kind},"{name}":')
        lines.append(text.select(SEQ, line=pl.concat_str(head, inside, pl.lit("}\n"))))
    return "".join(pl.concat(lines).sort(SEQ)["line"].to_list())


def streams(folder: Path, kind: str) -> dict[str, ps.Stream]:
    """Return the three streams, and the side table of q13."""
    found = _from_parquet(folder) if kind == "parquet" else _from_ndjson(folder)
    timed = {name: stream.with_watermark("dateTime") for name, stream in found.items()}
    return {**timed, "side_input": ps.scan_batches([SIDE])}


def _from_parquet(folder: Path) -> dict[str, ps.Stream]:
    return {
        name: ps.scan_parquet(folder / name / "*.parquet", epoch_rows=_EACH[name])
        for name in _KINDS
    }


def _from_ndjson(folder: Path) -> dict[str, ps.Stream]:
    events = ps.scan_ndjson(folder / "events" / "*.ndjson", TAGGED, epoch_rows=EPOCH)
    return {
        name: events.filter(event_type=kind).select(pl.col(name)).unnest(name)
        for kind, name in enumerate(_KINDS)
    }


def lazy_frames(folder: Path, kind: str) -> dict[str, pl.LazyFrame]:
    """Return the same for Polars."""
    if kind == "parquet":
        found = {name: pl.scan_parquet(folder / name / "*.parquet") for name in _KINDS}
    else:
        schema = {"event_type": pl.Int64(), **{n: _as_text(s) for n, s in SCHEMAS.items()}}
        events = pl.scan_ndjson(folder / "events" / "*.ndjson", schema=schema)
        found = {
            name: events.filter(pl.col("event_type") == number)
            .select(pl.col(name))
            .unnest(name)
            .with_columns(_times(name))
            for number, name in enumerate(_KINDS)
        }
    return {**found, "side_input": SIDE.lazy()}


def _as_text(schema: pl.Schema) -> pl.Struct:
    return pl.Struct({c: pl.String() if c in _TIMES else t for c, t in schema.items()})


_TIMES = ("dateTime", "expires")


def _times(name: str) -> list[pl.Expr]:
    columns = [c for c in _TIMES if c in SCHEMAS[name]]
    return [pl.col(c).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3f", time_unit="us") for c in columns]


_DUCKDB = {pl.Int64(): "BIGINT", pl.String(): "VARCHAR", pl.Datetime("us"): "TIMESTAMP"}


def duckdb_views(folder: Path, kind: str) -> list[str]:
    """Return the statements that let DuckDB see the same files."""
    if kind == "parquet":
        return [
            f"CREATE VIEW {name} AS FROM read_parquet('{folder / name}/*.parquet')"
            for name in _KINDS
        ]
    types = {n: ", ".join(f'"{c}" {_DUCKDB[t]}' for c, t in s.items()) for n, s in SCHEMAS.items()}
    columns = ", ".join(f"{name}: 'STRUCT({inside})'" for name, inside in types.items())
    return [
        f"CREATE VIEW {name} AS SELECT {name}.* FROM read_json('{folder}/events/*.ndjson', "
        f"format='newline_delimited', columns={{event_type: 'INTEGER', {columns}}}) "
        f"WHERE event_type = {number}"
        for number, name in enumerate(_KINDS)
    ]
