-- the changes of changes are insertions
-- alone
CREATE TABLE t (k INT PRIMARY KEY, v INT);
CREATE MATERIALIZED VIEW h AS CHANGELOG FROM t;
CREATE MATERIALIZED VIEW latest AS SELECT DISTINCT ON (k) k, v FROM h WHERE changelog_op IN (1, 3) ORDER BY k, v DESC;
-- step
-- rows latest: [(1, 1), (2, 2)]
INSERT INTO t VALUES (1, 1), (2, 2);
-- step
-- rows latest: [(1, 5), (2, 2)]
-- answers SELECT changelog_op, v FROM h WHERE k = 1 => [(1, 1), (4, 1), (3, 5)]
UPDATE t SET v = 5 WHERE k = 1;
