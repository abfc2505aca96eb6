-- ANY and ALL of a query in parentheses of its own
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT k, v FROM a WHERE v >= ALL ((SELECT w FROM b WHERE w IS NOT NULL));
CREATE MATERIALIZED VIEW v2 AS SELECT k, v FROM a WHERE v = ANY ((SELECT w FROM b));
CREATE MATERIALIZED VIEW v3 AS SELECT k, v FROM a WHERE v <> ALL ((SELECT w FROM b WHERE b.k = a.k));
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
