-- windows that grow until a larger one is full
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW g AS SELECT window_start, window_end, sum(v) AS s FROM CUMULATE(t, ts, INTERVAL '10 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end;
-- oracle g: SELECT w, e, sum(v) FROM (SELECT v, ts, time_bucket(INTERVAL 1 MINUTE, ts) AS w, w + INTERVAL 10 SECOND * i AS e FROM t, range(1, 7) r(i)) WHERE e > ts GROUP BY w, e
CREATE MATERIALIZED VIEW flink AS SELECT k, window_end, count(*) AS c FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND)) GROUP BY k, window_start, window_end;
-- oracle flink: SELECT k, e, count(*) FROM (SELECT k, ts, time_bucket(INTERVAL 15 SECOND, ts) + INTERVAL 5 SECOND * i AS e FROM t, range(1, 4) r(i)) WHERE e > ts GROUP BY k, e
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
