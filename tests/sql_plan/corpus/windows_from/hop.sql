-- windows that overlap
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW g AS SELECT k, window_start, window_end, sum(v) AS s FROM HOP(t, ts, INTERVAL '5 seconds', INTERVAL '15 seconds') GROUP BY k, window_start, window_end;
-- oracle g: SELECT k, time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i AS w, w + INTERVAL 15 SECOND, sum(v) FROM t, range(3) r(i) GROUP BY k, w
CREATE MATERIALIZED VIEW flink AS SELECT window_start, count(*) AS c FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- oracle flink: SELECT time_bucket(INTERVAL 10 SECOND, ts) - INTERVAL 10 SECOND * i AS w, count(*) FROM t, range(6) r(i) GROUP BY w
CREATE MATERIALIZED VIEW rows_of AS SELECT v, window_start, window_end FROM HOP(t, ts, INTERVAL '5 seconds', INTERVAL '10 seconds') WHERE k = 1;
-- oracle rows_of: SELECT v, time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i AS w, w + INTERVAL 10 SECOND FROM t, range(2) r(i) WHERE k = 1
CREATE MATERIALIZED VIEW named AS SELECT window_start, count(*) AS c FROM TABLE(HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '10' SECOND, SLIDE => INTERVAL '5' SECOND)) GROUP BY window_start;
-- oracle named: SELECT time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i AS w, count(*) FROM t, range(2) r(i) GROUP BY w
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
