-- EXPLAIN shows the plan, and names the state that nothing frees
-- alone
CREATE TABLE t (k INT, v INT, ts TIMESTAMP, WATERMARK FOR ts AS ts) APPEND ONLY;
-- step
-- answers SELECT 1 => [(1,)]
INSERT INTO t VALUES (1, 1, '2024-01-01');
-- refused: EXPLAIN shows the plan of a query
EXPLAIN INSERT INTO t VALUES (1, 1, '2024-01-01');
-- refused: no table 'nope'
EXPLAIN SELECT * FROM nope;
