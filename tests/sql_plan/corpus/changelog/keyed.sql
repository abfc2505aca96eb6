-- the changes of a view with a key, as rows
-- alone
CREATE TABLE t (k TEXT, v INT);
CREATE MATERIALIZED VIEW best AS SELECT k, max(v) AS v FROM t GROUP BY k;
INSERT INTO t VALUES ('a', 1);
CREATE MATERIALIZED VIEW h AS CHANGELOG FROM best;
-- step
-- answers SELECT * FROM h => [('a', 1, 1), ('b', 2, 1)]
INSERT INTO t VALUES ('b', 2);
-- step
-- answers SELECT * FROM h => [('a', 1, 1), ('b', 2, 1), ('a', 1, 4), ('a', 5, 3)]
INSERT INTO t VALUES ('a', 5);
-- step
-- answers SELECT * FROM h WHERE changelog_op = 2 => [('b', 2, 2)]
DELETE FROM t WHERE k = 'b';
-- step
-- answers SELECT count(*) FROM h => [(5,)]
INSERT INTO t VALUES ('a', 4);
