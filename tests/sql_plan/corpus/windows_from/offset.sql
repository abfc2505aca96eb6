-- windows whose borders are moved, also back
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW later AS SELECT window_start, count(*) AS c FROM TUMBLE(t, ts, INTERVAL '10 seconds', INTERVAL '3 seconds') GROUP BY window_start;
-- oracle later: SELECT time_bucket(INTERVAL 10 SECOND, ts, INTERVAL 3 SECOND) AS w, count(*) FROM t GROUP BY w
CREATE MATERIALIZED VIEW sooner AS SELECT window_start, count(*) AS c FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '-3' SECOND)) GROUP BY window_start;
-- oracle sooner: SELECT time_bucket(INTERVAL 10 SECOND, ts, INTERVAL 7 SECOND) AS w, count(*) FROM t GROUP BY w
CREATE MATERIALIZED VIEW hops AS SELECT window_start, window_end, count(*) AS c FROM HOP(t, ts, INTERVAL '5 seconds', INTERVAL '10 seconds', INTERVAL '2 seconds') GROUP BY window_start, window_end;
-- oracle hops: SELECT time_bucket(INTERVAL 5 SECOND, ts, INTERVAL 2 SECOND) - INTERVAL 5 SECOND * i AS w, w + INTERVAL 10 SECOND, count(*) FROM t, range(2) r(i) GROUP BY w
CREATE MATERIALIZED VIEW none AS SELECT window_start, count(*) AS c FROM TUMBLE(t, ts, INTERVAL '10 seconds', INTERVAL '0 seconds') GROUP BY window_start;
-- oracle none: SELECT time_bucket(INTERVAL 10 SECOND, ts) AS w, count(*) FROM t GROUP BY w
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
