-- closed windows go into a table without a key
-- alone
CREATE TABLE t (v INT, ts TIMESTAMP, WATERMARK FOR ts AS ts) APPEND ONLY;
CREATE TABLE done (at TIMESTAMP, s BIGINT);
CREATE SINK s INTO done AS SELECT window_start, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE;
-- step
-- answers SELECT s FROM done => []
INSERT INTO t VALUES (1, '2024-01-01 00:00:01'), (2, '2024-01-01 00:00:59');
-- step
-- answers SELECT s FROM done => [(3,)]
INSERT INTO t VALUES (5, '2024-01-01 00:01:00');
-- step
-- answers SELECT s FROM done => [(3,), (5,)]
INSERT INTO t VALUES (6, '2024-01-01 01:00:00');
