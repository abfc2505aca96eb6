-- functions in Python: once a row, and for whole columns
-- alone
CREATE FUNCTION twice(n BIGINT) RETURNS BIGINT LANGUAGE python AS $$
def twice(n):
    return None if n is None else 2 * n
$$;
CREATE FUNCTION letters(s TEXT, c TEXT) RETURNS INT LANGUAGE python AS $$
def letters(s: pl.Series, c: pl.Series) -> pl.Series:
    return s.str.count_matches(c, literal=True)
$$;
CREATE TABLE t (n BIGINT, s TEXT);
CREATE MATERIALIZED VIEW v AS SELECT twice(n) AS m, letters(s, 'a') AS l FROM t;
CREATE MATERIALIZED VIEW g AS SELECT l, sum(m) AS s FROM v GROUP BY l;
-- step
-- rows v: [(2, 3), (4, 0), (None, None)]
-- rows g: [(3, 2), (0, 4), (None, None)]
INSERT INTO t VALUES (1, 'banana'), (2, ''), (NULL, NULL);
-- step
-- rows v: [(2, 3), (10, 1)]
-- rows g: [(3, 2), (1, 10)]
DELETE FROM t WHERE s = '' OR s IS NULL;
INSERT INTO t VALUES (5, 'cat');
-- step
-- rows v: [(10, 1)]
-- rows g: [(1, 10)]
DELETE FROM t WHERE twice(n) = 2;
