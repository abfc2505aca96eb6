-- the changes of a table without a key, and views above them
-- alone
CREATE TABLE t (v INT);
CREATE MATERIALIZED VIEW h AS CHANGELOG FROM t;
CREATE MATERIALIZED VIEW counted AS SELECT changelog_op AS op, count(*) AS n, sum(v) AS s FROM h GROUP BY changelog_op;
-- step
-- rows counted: [(1, 3, 4)]
INSERT INTO t VALUES (1), (1), (2);
-- step
-- rows counted: [(1, 4, 7), (2, 1, 2)]
UPDATE t SET v = 3 WHERE v = 2;
-- step
-- rows counted: [(1, 4, 7), (2, 4, 7)]
TRUNCATE t;
-- refused: cannot delete from what a changelog fills
DELETE FROM h;
-- refused: reads it
DROP TABLE t;
-- refused: is a materialized view
DROP TABLE h;
-- step
-- answers SHOW MATERIALIZED VIEWS => []
-- answers SHOW TABLES => []
DROP TABLE t CASCADE;
