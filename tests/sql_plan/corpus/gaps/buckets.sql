-- buckets in which nothing was there, with nulls, the last value, or a line between two
-- waits
CREATE TABLE t (k INT, ts TIMESTAMP, v INT, WATERMARK FOR ts AS ts) APPEND ONLY;
CREATE MATERIALIZED VIEW g AS SELECT time_bucket_gapfill(INTERVAL '10 seconds', ts) AS m, k, sum(v) AS s, count(*) AS c, locf(sum(v)) AS l, coalesce(sum(v), 0) AS z FROM t GROUP BY m, k;
-- oracle g: WITH f AS (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS m, k, sum(v) AS s, count(*) AS c FROM t GROUP BY 1, 2 HAVING m + INTERVAL 10 SECOND <= (SELECT max(ts) FROM t)), b AS (SELECT k, unnest(generate_series(min(m), (SELECT max(m) FROM f), INTERVAL 10 SECOND)) AS m FROM f GROUP BY k) SELECT b.m, b.k, s, c, last_value(s IGNORE NULLS) OVER (PARTITION BY b.k ORDER BY b.m), coalesce(s, 0) FROM b LEFT JOIN f ON b.m = f.m AND b.k IS NOT DISTINCT FROM f.k
CREATE MATERIALIZED VIEW whole AS SELECT time_bucket_gapfill(INTERVAL '10 seconds', ts), max(v) AS m FROM t WHERE v <> 4 GROUP BY 1;
-- oracle whole: WITH f AS (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS m, max(v) AS x FROM t WHERE v <> 4 GROUP BY 1 HAVING m + INTERVAL 10 SECOND <= (SELECT max(ts) FROM t)) SELECT b.m, x FROM (SELECT unnest(generate_series(min(m), max(m), INTERVAL 10 SECOND)) AS m FROM f) b LEFT JOIN f ON b.m = f.m
CREATE MATERIALIZED VIEW counted AS SELECT k, count(*) AS c, sum(s) AS s FROM g GROUP BY k;
-- oracle counted: SELECT k, count(*), sum(s) FROM g GROUP BY k
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:05', 1), (2, '2024-01-01 00:00:12', 2), (1, '2024-01-01 00:00:41', 3), (NULL, '2024-01-01 00:00:42', 4);
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:55', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:02:00', 4), (2, '2024-01-01 00:02:10', 6);
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:05:00', 7);
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:05:10', 9);
