-- what a table is made of can be written down: a bare NULL is a text
CREATE TABLE t AS SELECT NULL AS a, 1 AS b, TIMESTAMP '2024-01-01' AS c, 'x' AS d;
CREATE MATERIALIZED VIEW v AS SELECT b, c, d FROM t;
-- step
INSERT INTO t SELECT NULL, 2, TIMESTAMP '2024-01-02', 'y';
