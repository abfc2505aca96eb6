-- USING: each side's own column can be named, a star of a table has it, it comes first of all
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT b.w, a.*, k AS again FROM a LEFT JOIN b USING (k);
CREATE MATERIALIZED VIEW v2 AS SELECT a.k AS one, b.k AS two, k AS three FROM a RIGHT JOIN b USING (k);
CREATE MATERIALIZED VIEW v3 (k, v, s, l, w) AS SELECT * FROM (SELECT v, k, s FROM a) AS x JOIN (SELECT w AS l, k, w FROM b) AS y USING (k);
CREATE MATERIALIZED VIEW v4 AS SELECT j.k, j.w FROM (a NATURAL JOIN b) AS j;
CREATE MATERIALIZED VIEW v5 AS SELECT x.v, y.k, w FROM a AS x, a AS y JOIN b USING (k) WHERE x.k = y.k;
-- refused: ambiguous
SELECT k FROM a JOIN b USING (k) JOIN b AS c ON true;
-- refused: no column 'q' at line 1, column 31
SELECT * FROM a JOIN b USING (q);
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
