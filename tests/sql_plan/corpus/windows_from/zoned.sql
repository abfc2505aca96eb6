-- times with a zone; days are those of UTC
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE TABLE z (ts TIMESTAMPTZ, v INT);
INSERT INTO z VALUES ('2024-03-31 00:30:00+01', 1), ('2024-03-31 02:30:00+02', 2), ('2024-03-30 23:59:59+00', 4);
CREATE MATERIALIZED VIEW days AS SELECT window_start, window_end, sum(v) AS s FROM TUMBLE(z, ts, INTERVAL '1 day') GROUP BY window_start, window_end;
-- oracle days: SELECT time_bucket(INTERVAL 1 DAY, ts) AS w, w + INTERVAL 1 DAY, sum(v) FROM z GROUP BY w
CREATE MATERIALIZED VIEW local_days AS SELECT window_start, sum(v) AS s FROM TUMBLE((SELECT ts AT TIME ZONE 'Europe/Berlin' AS lt, v FROM z), lt, INTERVAL '1 day') GROUP BY window_start;
-- oracle local_days: SELECT time_bucket(INTERVAL 1 DAY, ts AT TIME ZONE 'Europe/Berlin') AS w, sum(v) FROM z GROUP BY w
CREATE MATERIALIZED VIEW hops AS SELECT window_start, count(*) AS c FROM HOP(z, ts, INTERVAL '12 hours', INTERVAL '1 day') GROUP BY window_start;
-- oracle hops: SELECT time_bucket(INTERVAL 12 HOUR, ts) - INTERVAL 12 HOUR * i AS w, count(*) FROM z, range(2) r(i) GROUP BY w
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
