-- a table made of what a query gives
CREATE TABLE t (a INT, b NUMERIC(10, 2), c TIMESTAMP, d INT[], e TEXT);
INSERT INTO t VALUES (1, 1.25, '2024-02-29 12:00:00', ARRAY[1, NULL], 'x'), (NULL, NULL, NULL, NULL, NULL);
CREATE TABLE u AS SELECT a + 1 AS a, b * 2 AS b, c, d, e || 'y' AS e FROM t;
CREATE MATERIALIZED VIEW v AS SELECT a, b, c, e FROM u;
-- step
INSERT INTO u SELECT a, b, c, d, e FROM t WHERE a IS NOT NULL;
-- step
DELETE FROM t;
UPDATE u SET a = 0 WHERE a IS NULL;
