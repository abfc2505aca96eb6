"""Steps that put two pipelines together."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

import penstock as ps

from .arrivals import Seen
from .pairs import Drawn, Pair, same_typed
from .row_steps import filtered


def joined_near(d: Drawn, pair: Pair) -> Pair:
    """Join rows whose times are near; what is unmatched is modelled at the end only."""
    other = d.pipeline(d.one([0, 1]))
    if d.joins >= 2 or not pair.instants or not other.instants:
        return pair
    left, right = same_typed(d, pair, other)
    if not left:
        return pair
    d.joins += 1
    here, there = d.one(pair.instants), d.one(other.instants)
    lower, upper = d.one([(-2, 2), (0, 3), (-4, -1), (0, 0)])
    how, suffix, mark = d.one(["inner", "inner", "left", "anti", "semi"]), f"_{d.name()}", d.name()
    if {here, there} & {*left, *right}:
        return pair
    stream = pair.stream.join_interval(
        other.stream,
        how=how,
        left_on=left,
        right_on=right,
        left_time=here,
        right_time=there,
        lower=f"{lower}s",
        upper=f"{upper}s",
        suffix=suffix,
    )
    one, two = pair.query, other.query
    theirs = there + suffix if there in pair.stream.columns else there

    def run(seen: Seen) -> pl.LazyFrame:
        rows = one(seen).with_row_index(mark)
        pairs = rows.join(two(seen), left_on=left, right_on=right, suffix=suffix)
        ahead = (pl.col(theirs) - pl.col(here)).dt.total_seconds()
        pairs = pairs.filter((ahead >= lower) & (ahead <= upper))
        if how == "inner":
            return pairs.drop(mark)
        lonely = rows.join(pairs, on=mark, how="anti")
        if how == "semi":
            return rows.join(pairs, on=mark, how="semi").drop(mark)
        if how == "anti":
            return lonely.drop(mark)
        return pl.concat([pairs, lonely], how="diagonal").drop(mark)

    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end or (how in ("left", "anti") and not stream.is_changelog),
        steps=(
            *pair.steps,
            f"near {how} {left}={right} {here}~{there} {lower}..{upper} ({' | '.join(other.steps)})",
        ),
        mixed=True,
    )


def joined(d: Drawn, pair: Pair) -> Pair:
    """Join with another small pipeline, or with itself."""
    if d.joins >= 2:
        return pair
    d.joins += 1
    other = pair if d.one([True, False, False, False]) else d.pipeline(d.one([0, 1, 2]))
    hows = ["inner", "inner", "left", "right", "full", "semi", "anti", "cross"]
    how: Any = d.one(hows)
    suffix = f"_{d.name()}"
    left, right = same_typed(d, pair, other)
    if how != "cross" and not left:
        return pair
    on: dict[str, Any] = {} if how == "cross" else {"left_on": left, "right_on": right}
    nulls_equal = how != "cross" and d.one([False, False, True])
    stream = pair.stream.join(other.stream, how=how, suffix=suffix, nulls_equal=nulls_equal, **on)
    one, two = pair.query, other.query

    def run(seen: Seen) -> pl.LazyFrame:
        return one(seen).join(two(seen), how=how, suffix=suffix, nulls_equal=nulls_equal, **on)

    text = f"join {how} {on} nulls_equal={nulls_equal} ({' | '.join(other.steps)})"
    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end,
        steps=(*pair.steps, text),
        mixed=pair.mixed or other.mixed,
    )


def united(d: Drawn, pair: Pair) -> Pair:
    """Put together with another pipeline's columns of the same types, or with itself."""
    if d.one([True, False]):
        other = filtered(d, pair)
    else:
        other = d.pipeline(d.one([0, 1]))
    taken: dict[str, str] = {}
    for name, dtype in pair.stream.schema.items():
        same = [
            c
            for c, t in other.stream.schema.items()
            if t == dtype and c not in taken.values() and c.startswith("x") == name.startswith("x")
        ]
        if same:
            taken[name] = name if name in same else same[0]
    if not any(name in pair.numbers for name in taken):
        return pair
    left = [pl.col(name) for name in taken]
    right = [pl.col(source).alias(name) for name, source in taken.items()]
    stream = ps.concat([pair.stream.select(left), other.stream.select(right)])
    one, two = pair.query, other.query

    def run(seen: Seen) -> pl.LazyFrame:
        return pl.concat([one(seen).select(left), two(seen).select(right)])

    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end,
        steps=(*pair.steps, f"union ({' | '.join(other.steps)})"),
        mixed=pair.mixed or other.mixed or any(a != b for a, b in taken.items()),
    )


def joined_where(d: Drawn, pair: Pair) -> Pair:
    """Join the pairs of rows for which one or two comparisons hold, with or without equal keys."""
    if d.joins >= 2:
        return pair
    d.joins += 1
    other = pair if d.one([True, False, False]) else d.pipeline(d.one([0, 1]))
    suffix = f"_{d.name()}"
    sides = [
        side
        for side in ((pair.numbers, other.numbers), (pair.instants, other.instants))
        if all(side)
    ]
    if not sides:
        return pair
    conditions = []
    for _ in range(d.one([1, 1, 2])):
        left, right = d.one(sides)
        theirs = d.one(right)
        one = pl.col(d.one(left))
        two = pl.col(theirs + suffix if theirs in pair.stream.columns else theirs)
        conditions.append(d.one([one < two, one >= two, one != two, one <= two]))
    if d.one([True, False]):
        lefts, rights = same_typed(d, pair, other)
    else:
        lefts, rights = [], []
    if lefts:
        theirs = rights[0] + suffix if rights[0] in pair.stream.columns else rights[0]
        conditions.append(pl.col(lefts[0]) == pl.col(theirs))
    stream = pair.stream.join_where(other.stream, *conditions, suffix=suffix)
    first, second = pair.query, other.query

    def run(seen: Seen) -> pl.LazyFrame:
        pairs = first(seen).join(second(seen), how="cross", suffix=suffix)
        return pairs.filter(conditions)

    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end,
        steps=(*pair.steps, f"join where {conditions} ({' | '.join(other.steps)})"),
        mixed=pair.mixed or other.mixed,
    )


def joined_asof(d: Drawn, pair: Pair) -> Pair:
    """Join each row with the other's nearest in time, perhaps of the same key."""
    other = pair if d.one([True, False, False, False]) else d.pipeline(d.one([0, 1]))
    if d.joins >= 2 or not other.sequenced:
        return pair
    sides = [(pair.instants, other.instants), (pair.columns(pl.Int64), other.columns(pl.Int64))]
    sides = [side for side in sides if all(side)]
    if not sides:
        return pair
    d.joins += 1
    here, there = map(d.one, d.one([sides[0], sides[0], sides[-1]]))
    timely = here in pair.instants
    keys = same_typed(d, pair, other) if d.one([True, True, False]) else ([], [])
    if {here, there} & {*keys[0], *keys[1]}:
        keys = [], []
    strategy = d.one(["backward", "backward", "forward", "nearest"])
    tolerance, exact, suffix = d.one([None, 0, 2]), d.one([True, True, False]), f"_{d.name()}"
    stream = pair.stream.join_asof(
        other.stream,
        left_on=here,
        right_on=there,
        by_left=keys[0] or None,
        by_right=keys[1] or None,
        strategy=strategy,
        tolerance=f"{tolerance}s" if timely and tolerance is not None else tolerance,
        allow_exact_matches=exact,
        suffix=suffix,
    )
    one, two = pair.query, other.query
    reach = None if tolerance is None else tolerance * (1_000_000 if timely else 1)

    def run(seen: Seen) -> pl.LazyFrame:
        left, right = one(seen).collect(), other.sequence(two(seen)).collect()
        times = [frame[name].to_physical() for frame, name in ((left, here), (right, there))]
        sides = [
            list(zip(times[0], left.select(keys[0]).rows() or [()] * left.height, strict=True)),
            list(zip(times[1], right.select(keys[1]).rows() or [()] * right.height, strict=True)),
        ]
        matches = [nearest(row, sides[1], strategy, reach, exact=exact) for row in sides[0]]
        names = {n: n + suffix if n in left.columns else n for n in right.columns}
        dropped = {*keys[1], there} if here == there else {*keys[1]}
        taken = right.select(pl.col(n).alias(m) for n, m in names.items() if n not in dropped)
        found = taken.with_row_index("place")
        places = pl.DataFrame({"place": matches}, schema={"place": pl.UInt32})
        joined = left.hstack(places).join(found, on="place", how="left", maintain_order="left")
        return joined.drop("place").lazy()

    text = (
        f"asof {strategy} {here}~{there} by {keys} within {tolerance} exact={exact} "
        f"({' | '.join(other.steps)})"
    )
    return Pair(
        stream,
        run,
        pair.bases | other.bases,
        ordered=False,
        at_end=pair.at_end or other.at_end or not stream.is_changelog,
        steps=(*pair.steps, text),
        mixed=True,
    )


Timed = tuple[int | None, tuple[Any, ...]]


def nearest(
    row: Timed, rows: list[Timed], strategy: str, reach: int | None, *, exact: bool
) -> int | None:
    """Return the place of the right row for a left row: of equal times the last, forward the first.

    Of an earlier and a later row that are equally near the later one is taken.
    """
    at, key = row
    best: tuple[int, int, int] | None = None
    for place, (other_at, other_key) in enumerate(rows):
        if at is None or other_at is None or not all(map(equal, key, other_key)):
            continue
        ahead = other_at - at
        wrong = (strategy == "backward" and ahead > 0) or (strategy == "forward" and ahead < 0)
        if wrong or (not exact and not ahead) or (reach is not None and abs(ahead) > reach):
            continue
        order = place if strategy == "forward" else -place
        rank = (abs(ahead), 0 if ahead > 0 else 1, order)
        best = rank if best is None else min(best, rank)
    return None if best is None else abs(best[2])


def equal(one: Any, two: Any) -> bool:
    """Compare keys: null is equal to nothing, NaN to itself."""
    if isinstance(one, float) and isinstance(two, float) and math.isnan(one):
        return math.isnan(two)
    return one is not None and bool(one == two)
