-- a sink that is dropped leaves what it wrote
-- alone
CREATE TABLE t (k INT PRIMARY KEY);
CREATE TABLE u (k INT PRIMARY KEY);
CREATE SINK s INTO u AS SELECT k FROM t;
-- step
-- answers SELECT * FROM u => [(1,)]
-- answers SHOW SINKS => [('s', 'writing')]
INSERT INTO t VALUES (1);
-- step
-- answers SELECT * FROM u => [(1,)]
-- answers SHOW SINKS => []
DROP SINK s;
INSERT INTO t VALUES (2);
-- step
-- answers SELECT * FROM u => [(1,), (2,)]
CREATE SINK IF NOT EXISTS s INTO u AS SELECT k FROM t;
