-- a line between the buckets around a gap, known once the one behind it is
-- waits
CREATE TABLE t (k INT, ts TIMESTAMP, v INT, WATERMARK FOR ts AS ts) APPEND ONLY;
CREATE MATERIALIZED VIEW g AS SELECT time_bucket_gapfill(INTERVAL '10 seconds', ts) AS m, k, interpolate(avg(v)) AS i FROM t GROUP BY m, k;
-- oracle g: WITH f AS (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS m, k, avg(v) AS a FROM t GROUP BY 1, 2 HAVING m + INTERVAL 10 SECOND <= (SELECT max(ts) FROM t)), n AS (SELECT *, lead(m) OVER (PARTITION BY k ORDER BY m) AS nm, lead(a) OVER (PARTITION BY k ORDER BY m) AS na FROM f), x AS (SELECT *, unnest(generate_series(m, coalesce(nm - INTERVAL 10 SECOND, m), INTERVAL 10 SECOND)) AS w FROM n) SELECT w, k, CASE WHEN w = m THEN a ELSE a + (na - a) * epoch(w - m) / epoch(nm - m) END FROM x
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:05', 1), (2, '2024-01-01 00:00:12', 2);
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:41', 3), (1, '2024-01-01 00:00:55', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:02:00', 4), (2, '2024-01-01 00:02:10', 6);
