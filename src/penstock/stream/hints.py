"""What to write instead of verbs that a ``LazyFrame`` or ``DataFrame`` has and a stream has not."""

from __future__ import annotations

_END = "a stream has no end; "
_ALL = "aggregate columns by name, .select(pl.col(...).{0}()), or groups, .group_by(...).{0}()"
_READ = ".collect() where the input ends, .preview() for a look, .changes() to follow it"
_SINK = "sinks write as rows come: "
_QUERY = "a stream is never collected as a whole; "

VERBS: dict[str, str] = {
    # aggregations of all columns
    **{name: _ALL.format(name) for name in ("count", "max", "mean", "median", "min", "std")},
    **{name: _ALL.format(name) for name in ("sum", "var", "n_unique", "product")},
    "null_count": ".select(pl.col(...).null_count())",
    "quantile": ".select(pl.col(...).quantile(0.9)), or group_by(...).quantile(0.9)",
    "describe": "aggregate what you want to know, e.g. .select(pl.col(...).mean())",
    "corr": ".select(pl.corr(...))",
    "value_counts": ".group_by(...).len()",
    # rows by their place
    "last": _END + 'the latest row by an order is .top_k(1, by="ts"), of each key '
    '.unique(keys, keep="last")',
    "tail": _END + 'the latest rows by an order are .top_k(n, by="ts")',
    "reverse": _END + "sort by a column, descending=True",
    "slice": "the first rows are .limit(n); number rows with .with_row_index() and filter by it",
    "gather": "number rows with .with_row_index() and filter by the number",
    "gather_every": "with_row_index() and filter(pl.col('index') % n == 0)",
    "sample": ".filter(pl.col(key).hash() % 100 < 5) keeps a twentieth of the keys",
    "shift": ".with_columns(pl.col(...).shift(1)), for each key with .over(key)",
    "interpolate": ".with_columns(pl.col(...).forward_fill()); what comes later is not known yet",
    "with_row_count": '.with_row_index("row_nr")',
    "item": _READ,
    "row": _READ,
    "rows": _READ,
    "iter_rows": "for delta in stream.changes(): ..., or .sink_callback(function)",
    "iter_slices": "for delta in stream.changes(): ...",
    # windows
    "group_by_dynamic": '.group_by(ps.tumbling("1m")), or ps.hopping("1m", slide="10s")',
    "group_by_rolling": '.group_by(ps.sliding("10s"))',
    "rolling": '.group_by(ps.sliding("10s"))',
    "groupby": ".group_by(...)",
    "groupby_dynamic": '.group_by(ps.tumbling("1m"))',
    "upsample": "join the result with a source of instants, ps.scan_ticks(...)",
    # shape
    "melt": ".unpivot(on, index=...)",
    "pivot": "the columns must be known: .group_by(key).agg(pl.col(v).filter(pl.col(k) == name)"
    ".sum().alias(name) for name in names)",
    "unstack": "the columns must be known: .group_by(...).agg(...) with a filter for each",
    "transpose": "a table that never ends has no last column",
    "to_dummies": ".with_columns((pl.col(...) == value).alias(name) for value in values)",
    "partition_by": ".filter(...) for each part; or .sink_files(folder, partition_by=...)",
    "hstack": ".join(other, on=...) by a key",
    "vstack": "ps.concat([stream, other])",
    "extend": "ps.concat([stream, other])",
    "insert_column": ".select(...) in the order you want",
    "drop_in_place": ".drop(...): streams are immutable",
    "replace_column": ".with_columns(...)",
    "get_column": "stream[...] is not there either: use pl.col(name) in an expression",
    "get_columns": "stream.columns names them; use pl.col(name) in an expression",
    "to_struct": ".select(pl.struct(pl.all()))",
    "is_duplicated": ".group_by(...).len(), and filter by it",
    "is_unique": '.unique(subset, keep="none")',
    "is_empty": _READ,
    "height": ".select(pl.len())",
    "shape": ".select(pl.len()) and len(stream.columns)",
    "width": "len(stream.columns)",
    "dtypes": "stream.schema.dtypes()",
    "estimated_size": "query.progress() shows what steps keep",
    "match_to_schema": ".select(...) and .cast(...)",
    "fold": "pl.fold(...) in .select(...)",
    "hash_rows": ".with_columns(pl.struct(pl.all()).hash())",
    **{
        f"{name}_horizontal": f".select(pl.{name}_horizontal(pl.all()))"
        for name in ("max", "mean", "min", "sum")
    },
    # several streams
    "merge_sorted": "ps.concat([stream, other]); event time orders rows: .with_watermark(column)",
    "update": ".join(other, on=..., how='left') and pl.coalesce(...)",
    "sql": "write the same with verbs",
    # queries
    "cache": "common steps of queries that run together run once",
    "clone": "streams are immutable",
    "clear": _READ,
    "collect_async": "async for delta in stream.changes(): ...",
    "collect_batches": "for delta in stream.changes(): ...",
    "fetch": ".preview(rows)",
    "show": ".preview(rows), or .sink_console()",
    "glimpse": ".preview(rows)",
    "inspect": ".sink_console(), or .map_batches(function, ...)",
    "profile": "query.progress() shows times for each step",
    "show_graph": ".explain()",
    "serialize": "a query is a Python file: penstock run file.py",
    "remote": "penstock.run(query, ...)",
    "execute": "penstock.run(query, ...)",
    "set_sorted": "event time is declared: .with_watermark(column, lateness=...)",
    "select_seq": ".select(...)",
    "with_columns_seq": ".with_columns(...)",
    "pipe_with_schema": "stream.schema is known at once: .pipe(function)",
    "map": ".map_batches(function, ...)",
    "apply": ".map_rows(function, schema)",
    "map_columns": ".with_columns(...)",
    # outputs
    "to_pandas": _QUERY + _READ,
    "to_dicts": _QUERY + _READ,
    "to_dict": _QUERY + _READ,
    "to_arrow": _QUERY + _READ,
    "to_numpy": _QUERY + _READ,
    "write_csv": _SINK + ".sink_csv(folder)",
    "write_parquet": _SINK + ".sink_parquet(folder)",
    "write_ndjson": _SINK + ".sink_ndjson(folder)",
    "write_json": _SINK + ".sink_ndjson(folder)",
    "write_ipc": _SINK + ".sink_ipc(folder)",
    "write_ipc_stream": _SINK + ".sink_ipc(folder)",
    "write_database": _SINK + ".sink_sqlite(...), .sink_duckdb(...), .sink_postgres(...)",
    "write_avro": _SINK + ".sink_parquet(folder)",
    "write_excel": _SINK + ".sink_csv(folder)",
    "write_delta": _SINK + ".sink_parquet(folder)",
    "write_iceberg": _SINK + ".sink_parquet(folder)",
    "sink_delta": ".sink_parquet(folder)",
    "sink_iceberg": ".sink_parquet(folder)",
    "sink_batches": ".sink_callback(function)",
}
"""Verb -> how to say it."""

GROUP_VERBS: dict[str, str] = {
    "all": ".agg(pl.col(...)) keeps the values of a group as a list",
    "apply": ".process(processor, by=...) on the stream, with state for each key",
    "map_groups": ".process(processor, by=...) on the stream, with state for each key",
    "having": ".agg(...).filter(...)",
    "head": ".top_k(n, by=..., group_by=...) on the stream",
    "tail": ".top_k(n, by=..., group_by=...) on the stream",
    "limit": ".top_k(n, by=..., group_by=...) on the stream",
    "std": ".agg(pl.col(...).std())",
    "var": ".agg(pl.col(...).var())",
    "count": ".len(), or .agg(pl.col(...).count()) without nulls",
}
