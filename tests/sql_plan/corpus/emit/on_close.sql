-- each window once, when the watermark has passed it
-- alone
CREATE TABLE t (k TEXT, v INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5 seconds') APPEND ONLY;
CREATE MATERIALIZED VIEW w AS SELECT window_end, k, sum(v) AS s FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end, k EMIT ON WINDOW CLOSE;
CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n FROM TUMBLE(t, ts, INTERVAL '10 seconds') GROUP BY window_start EMIT CHANGES;
-- step
-- rows w: []
-- rows c: [(2,)]
INSERT INTO t VALUES ('a', 1, '2024-01-01 00:00:01'), ('a', 2, '2024-01-01 00:00:09');
-- step
-- answers SELECT k, s FROM w => []
-- rows c: [(2,), (1,)]
INSERT INTO t VALUES ('b', 3, '2024-01-01 00:00:14');
-- step
-- answers SELECT k, s FROM w => [('a', 3)]
-- rows c: [(2,), (2,)]
INSERT INTO t VALUES ('b', 4, '2024-01-01 00:00:15');
-- step
-- answers SELECT k, s FROM w => [('a', 3)]
-- answers SELECT count(*) FROM t => [(5,)]
INSERT INTO t VALUES ('late', 9, '2024-01-01 00:00:02');
-- step
-- answers SELECT k, s FROM w => [('a', 3), ('b', 7)]
INSERT INTO t VALUES ('c', 1, '2024-01-01 00:00:40');
-- refused: EMIT belongs to a materialized view or a sink
CREATE VIEW x AS SELECT k FROM t EMIT CHANGES;
-- refused: EMIT belongs to a materialized view or a sink
CREATE TABLE x (k INT) EMIT ON WINDOW CLOSE;
