-- windows that touch, with and without groups
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW g AS SELECT k, window_start, window_end, sum(v) AS s, count(*) AS c FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY k, window_start, window_end;
-- oracle g: SELECT k, time_bucket(INTERVAL 10 SECOND, ts) AS w, w + INTERVAL 10 SECOND, sum(v), count(*) FROM t GROUP BY k, w
CREATE MATERIALIZED VIEW flink AS SELECT window_end, max(v) AS m FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- oracle flink: SELECT time_bucket(INTERVAL 10 SECOND, ts) + INTERVAL 10 SECOND AS w, max(v) FROM t GROUP BY w
CREATE MATERIALIZED VIEW named AS SELECT window_start, count(*) AS c FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE)) GROUP BY window_start;
-- oracle named: SELECT time_bucket(INTERVAL 1 MINUTE, ts) AS w, count(*) FROM t GROUP BY w
CREATE MATERIALIZED VIEW rows_of AS SELECT * FROM TUMBLE(t, ts, INTERVAL '10 seconds') AS x WHERE v > 1;
-- oracle rows_of: SELECT *, time_bucket(INTERVAL 10 SECOND, ts) AS w, w + INTERVAL 10 SECOND FROM t WHERE v > 1
CREATE MATERIALIZED VIEW last_instant AS SELECT v, x.window_time AS lt FROM TUMBLE(t, ts, INTERVAL '10 seconds') x;
-- oracle last_instant: SELECT v, time_bucket(INTERVAL 10 SECOND, ts) + INTERVAL 9999 MILLISECOND FROM t
CREATE MATERIALIZED VIEW grouped_time AS SELECT window_time, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, window_time;
-- oracle grouped_time: SELECT time_bucket(INTERVAL 10 SECOND, ts) + INTERVAL 9999 MILLISECOND AS w, sum(v) FROM t GROUP BY w
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
