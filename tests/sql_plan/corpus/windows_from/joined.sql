-- rows and groups of the same windows, joined
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
CREATE TABLE u (k INT, ts TIMESTAMP, w INT);
INSERT INTO u VALUES (1, '2024-01-01 00:00:05', 100), (2, '2024-01-01 00:00:19', 200), (3, '2024-01-01 00:00:00', 300);
CREATE MATERIALIZED VIEW rows_of AS SELECT a.k, a.v, b.w, a.window_start FROM TUMBLE(t, ts, INTERVAL '10 seconds') a JOIN TUMBLE(u, ts, INTERVAL '10 seconds') b ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end;
-- oracle rows_of: SELECT a.k, a.v, b.w, time_bucket(INTERVAL 10 SECOND, a.ts) FROM t a JOIN u b ON a.k = b.k AND time_bucket(INTERVAL 10 SECOND, a.ts) = time_bucket(INTERVAL 10 SECOND, b.ts)
CREATE MATERIALIZED VIEW full_of AS SELECT a.v, b.w FROM TUMBLE(t, ts, INTERVAL '10 seconds') a FULL JOIN TUMBLE(u, ts, INTERVAL '10 seconds') b ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end;
-- oracle full_of: SELECT a.v, b.w FROM t a FULL JOIN u b ON a.k = b.k AND time_bucket(INTERVAL 10 SECOND, a.ts) = time_bucket(INTERVAL 10 SECOND, b.ts)
CREATE MATERIALIZED VIEW half AS SELECT k, v FROM TUMBLE(t, ts, INTERVAL '10 seconds') a WHERE EXISTS (SELECT 1 FROM TUMBLE(u, ts, INTERVAL '10 seconds') b WHERE a.k = b.k AND a.window_start = b.window_start);
-- oracle half: SELECT k, v FROM t a WHERE EXISTS (SELECT 1 FROM u b WHERE a.k = b.k AND time_bucket(INTERVAL 10 SECOND, a.ts) = time_bucket(INTERVAL 10 SECOND, b.ts))
CREATE MATERIALIZED VIEW grouped AS SELECT a.window_start, a.c, b.s FROM (SELECT window_start, count(*) AS c FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end) a LEFT JOIN (SELECT window_start, sum(w) AS s FROM TUMBLE(u, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end) b ON a.window_start = b.window_start;
-- oracle grouped: SELECT a.x, a.c, b.s FROM (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS x, count(*) AS c FROM t GROUP BY x) a LEFT JOIN (SELECT time_bucket(INTERVAL 10 SECOND, ts) AS x, sum(w) AS s FROM u GROUP BY x) b ON a.x = b.x
CREATE MATERIALIZED VIEW hops AS SELECT a.v, b.w, a.window_end FROM HOP(t, ts, INTERVAL '5 seconds', INTERVAL '10 seconds') a JOIN HOP(u, ts, INTERVAL '5 seconds', INTERVAL '10 seconds') b ON a.k = b.k AND a.window_start = b.window_start;
-- oracle hops: WITH a AS (SELECT *, time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i AS x FROM t, range(2) r(i)), b AS (SELECT *, time_bucket(INTERVAL 5 SECOND, ts) - INTERVAL 5 SECOND * i AS x FROM u, range(2) r(i)) SELECT a.v, b.w, a.x + INTERVAL 10 SECOND FROM a JOIN b ON a.k = b.k AND a.x = b.x
-- step
INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:09.999', 2), (2, '2024-01-01 00:00:10', 3), (1, '2023-12-31 23:59:59', 4), (NULL, '2024-01-01 00:00:31', 5);
-- step
INSERT INTO t VALUES (2, '2024-01-01 00:00:12', 6), (2, '2024-01-01 00:01:00', NULL), (1, '2024-01-01 00:00:03', 7);
-- step
UPDATE t SET v = v + 10 WHERE k = 1;
DELETE FROM t WHERE v = 3;
-- step
DELETE FROM t WHERE ts < TIMESTAMP '2024-01-01 00:00:10';
