-- each window once, when the watermark has passed it
-- waits
CREATE TABLE t (k INT, ts TIMESTAMP, v INT, WATERMARK FOR ts AS ts - INTERVAL '5 seconds') APPEND ONLY;
CREATE MATERIALIZED VIEW tumbled AS SELECT k, window_start, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY k, window_start, window_end EMIT ON WINDOW CLOSE;
-- oracle tumbled: SELECT k, time_bucket(INTERVAL 10 SECOND, ts) AS w, sum(v) FROM t GROUP BY k, w HAVING w + INTERVAL 15 SECOND <= (SELECT max(ts) FROM t)
CREATE MATERIALIZED VIEW hopped AS SELECT window_end, count(*) AS c FROM HOP(t, ts, INTERVAL '5 seconds', INTERVAL '10 seconds') GROUP BY window_start, window_end EMIT ON WINDOW CLOSE;
-- oracle hopped: SELECT time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i + INTERVAL 10 SECOND AS e, count(*) FROM t, range(2) r(i) GROUP BY e HAVING e + INTERVAL 5 SECOND <= (SELECT max(ts) FROM t)
CREATE MATERIALIZED VIEW grown AS SELECT window_end, sum(v) AS s FROM CUMULATE(t, ts, INTERVAL '5 seconds', INTERVAL '20 seconds') GROUP BY window_start, window_end EMIT ON WINDOW CLOSE;
-- oracle grown: SELECT time_bucket(INTERVAL 20 SECOND, ts) + INTERVAL 5 SECOND * i AS e, sum(v) FROM t, range(1, 5) r(i) WHERE e > ts GROUP BY e HAVING e + INTERVAL 5 SECOND <= (SELECT max(ts) FROM t)
CREATE MATERIALIZED VIEW functions AS SELECT TUMBLE_END(ts, INTERVAL '10' SECOND) AS e, count(*) AS c FROM t GROUP BY TUMBLE(ts, INTERVAL '10' SECOND) EMIT ON WINDOW CLOSE;
-- oracle functions: SELECT time_bucket(INTERVAL 10 SECOND, ts) + INTERVAL 10 SECOND AS e, count(*) FROM t GROUP BY e HAVING e + INTERVAL 5 SECOND <= (SELECT max(ts) FROM t)
CREATE MATERIALIZED VIEW minutes AS SELECT window_start, max(s) AS m FROM TUMBLE((SELECT window_start AS w, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end), w, INTERVAL '20 seconds') GROUP BY window_start EMIT ON WINDOW CLOSE;
-- oracle minutes: SELECT time_bucket(INTERVAL 20 SECOND, w) AS x, max(s) FROM (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS w, sum(v) AS s FROM t GROUP BY w) GROUP BY x HAVING x + INTERVAL 25 SECOND <= (SELECT max(ts) FROM t)
CREATE MATERIALIZED VIEW best AS SELECT a.window_start, a.k, a.s FROM (SELECT window_start, k, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, k) a JOIN (SELECT window_start, max(s) AS m FROM (SELECT window_start, k, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, k) x GROUP BY window_start) b ON a.window_start = b.window_start AND a.s = b.m EMIT ON WINDOW CLOSE;
-- oracle best: WITH g AS (SELECT k, time_bucket(INTERVAL 10 SECOND, ts) AS w, sum(v) AS s FROM t GROUP BY k, w HAVING w + INTERVAL 15 SECOND <= (SELECT max(ts) FROM t)) SELECT w, k, s FROM g WHERE s = (SELECT max(s) FROM g AS h WHERE h.w = g.w)
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2024-01-01 00:00:07', 4);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:00:20', 5), (1, '2024-01-01 00:00:15', 7);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:29', 8);
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:01:05', 9);
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:02:05', NULL);
