-- a sink into a table replaces rows by the primary key
-- alone
CREATE TABLE t (k TEXT, v INT);
CREATE TABLE best (k TEXT PRIMARY KEY, v BIGINT);
CREATE SINK s INTO best AS SELECT k, max(v) AS v FROM t GROUP BY k;
CREATE MATERIALIZED VIEW total AS SELECT sum(v) AS v FROM best;
-- step
-- answers SELECT * FROM best => [('a', 3), ('b', 2)]
-- rows total: [(5,)]
INSERT INTO t VALUES ('a', 1), ('a', 3), ('b', 2);
-- step
-- answers SELECT * FROM best => [('a', 1), ('b', 2)]
-- rows total: [(3,)]
DELETE FROM t WHERE v = 3;
-- step
-- answers SELECT * FROM best => [('b', 2)]
-- rows total: [(2,)]
DELETE FROM t WHERE k = 'a';
