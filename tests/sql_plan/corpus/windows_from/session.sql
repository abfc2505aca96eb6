-- sessions end where nothing comes for a while
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW g AS SELECT k, window_start, window_end, count(*) AS c FROM SESSION(t PARTITION BY k, ts, INTERVAL '5 seconds') GROUP BY k, window_start, window_end;
-- oracle g: SELECT k, min(ts), max(ts) + INTERVAL 5 SECOND, count(*) FROM (SELECT *, sum(n) OVER (PARTITION BY k ORDER BY ts) AS s FROM (SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY k ORDER BY ts) <= INTERVAL 5 SECOND THEN 0 ELSE 1 END AS n FROM t)) GROUP BY k, s
CREATE MATERIALIZED VIEW flink AS SELECT k, sum(v) AS s FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
-- oracle flink: SELECT k, sum(v) FROM (SELECT *, sum(n) OVER (PARTITION BY k ORDER BY ts) AS s FROM (SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY k ORDER BY ts) <= INTERVAL 10 SECOND THEN 0 ELSE 1 END AS n FROM t)) GROUP BY k, s
CREATE MATERIALIZED VIEW all_of AS SELECT window_start, window_time, count(*) AS c FROM SESSION(t, ts, INTERVAL '5 seconds') GROUP BY window_start, window_end, window_time;
-- oracle all_of: SELECT min(ts), max(ts) + INTERVAL 4999 MILLISECOND, count(*) FROM (SELECT *, sum(n) OVER (ORDER BY ts) AS s FROM (SELECT *, CASE WHEN ts - lag(ts) OVER (ORDER BY ts) <= INTERVAL 5 SECOND THEN 0 ELSE 1 END AS n FROM t)) GROUP BY s
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
