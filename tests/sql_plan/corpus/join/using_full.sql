-- USING with a full join: one column that is of either side, the others named by their tables
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE TABLE c (k INT, z INT);
CREATE MATERIALIZED VIEW v1 AS SELECT * FROM a FULL JOIN b USING (k);
CREATE MATERIALIZED VIEW v2 AS SELECT k, a.k AS ak, b.k AS bk, count(*) AS n FROM a FULL JOIN b USING (k) GROUP BY k, a.k, b.k;
CREATE MATERIALIZED VIEW v3 AS SELECT * FROM a NATURAL FULL JOIN b FULL JOIN c USING (k);
CREATE MATERIALIZED VIEW v4 AS SELECT k, v, w FROM a FULL JOIN b USING (k) WHERE k > 1;
-- step
INSERT INTO c VALUES (1, 1), (3, 3), (NULL, 0);
-- step
INSERT INTO a VALUES (1, 10, 'x'), (2, 20, 'y'), (2, 21, NULL), (NULL, 5, 'z'), (4, NULL, 'x');
-- step
INSERT INTO b VALUES (2, 20), (2, NULL), (NULL, 5), (3, 30);
-- step
UPDATE b SET w = 10, k = 1 WHERE k = 3;
DELETE FROM a WHERE s = 'y';
-- step
DELETE FROM b WHERE w IS NULL;
-- step
DELETE FROM b;
