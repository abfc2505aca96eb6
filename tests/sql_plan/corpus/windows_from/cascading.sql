-- windows of windows, by their start, their end less a moment, or window_time
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW per_minute AS SELECT window_start, max(s) AS m FROM TUMBLE((SELECT window_start AS w, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end), w, INTERVAL '1 minute') GROUP BY window_start, window_end;
-- oracle per_minute: SELECT time_bucket(INTERVAL 1 MINUTE, w) AS x, max(s) FROM (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS w, sum(v) AS s FROM t GROUP BY w) GROUP BY x
CREATE MATERIALIZED VIEW flink AS WITH inside AS (SELECT window_time AS rowtime, k, sum(v) AS s FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, window_time, k) SELECT window_start, window_end, sum(s) AS total FROM TABLE(TUMBLE(TABLE inside, DESCRIPTOR(rowtime), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- oracle flink: SELECT time_bucket(INTERVAL 1 MINUTE, ts) AS x, x + INTERVAL 1 MINUTE, sum(v) FROM t GROUP BY x
CREATE MATERIALIZED VIEW again AS SELECT window_start, max(s) AS m FROM (SELECT window_start, k, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, k) AS x GROUP BY window_start;
-- oracle again: SELECT w, max(s) FROM (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS w, k, sum(v) AS s FROM t GROUP BY w, k) GROUP BY w
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
