-- a sink fills the columns that are not generated
-- alone
CREATE TABLE t (k INT PRIMARY KEY, v INT);
CREATE TABLE u (k INT PRIMARY KEY, v INT CHECK (v < 100), twice INT GENERATED ALWAYS AS (v * 2) STORED);
CREATE SINK s INTO u AS SELECT k, v FROM t;
-- step
-- answers SELECT * FROM u => [(1, 5, 10), (2, None, None)]
INSERT INTO t VALUES (1, 5), (2, NULL);
-- refused: does not satisfy CHECK
INSERT INTO t VALUES (3, 100);
-- step
-- answers SELECT * FROM u => [(1, 6, 12), (2, None, None)]
UPDATE t SET v = v + 1;
