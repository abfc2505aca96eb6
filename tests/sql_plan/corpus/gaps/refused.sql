-- gaps that cannot be filled
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE TABLE z (k INT, ts TIMESTAMP, v INT, WATERMARK FOR ts AS ts) APPEND ONLY;
-- refused: when a bucket is over
CREATE MATERIALIZED VIEW v AS SELECT time_bucket_gapfill(INTERVAL '1 minute', ts) AS m, sum(v) FROM t GROUP BY m;
-- refused: takes a width and a time
SELECT time_bucket_gapfill(INTERVAL '1 minute', ts, '2024-01-01', '2024-01-02') AS m FROM z GROUP BY m;
-- refused: groups by it
SELECT time_bucket_gapfill(INTERVAL '1 minute', ts) AS m FROM z;
-- refused: names the bucket
SELECT time_bucket_gapfill(INTERVAL '1 minute', ts) AS m, k FROM z GROUP BY k;
-- refused: one time_bucket_gapfill
SELECT time_bucket_gapfill(INTERVAL '1 minute', ts) AS m, time_bucket_gapfill(INTERVAL '2 minutes', ts) FROM z GROUP BY m;
-- refused: without ROLLUP
SELECT time_bucket_gapfill(INTERVAL '1 minute', ts) AS m, k FROM z GROUP BY m, ROLLUP (k);
-- refused: fixed, positive length
SELECT time_bucket_gapfill(INTERVAL '1 month', ts) AS m FROM z GROUP BY m;
-- refused: LOCF
SELECT locf(sum(v)) FROM z GROUP BY k;
-- refused: needs one table
SELECT time_bucket_gapfill(INTERVAL '1 minute', z.ts) AS m FROM z JOIN t ON z.k = t.k GROUP BY m;
