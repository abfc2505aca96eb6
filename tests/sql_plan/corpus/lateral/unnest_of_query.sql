-- unnest of an array that a query gives
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT a.v, u.x FROM a, unnest((SELECT array_agg(b.w ORDER BY b.w) FROM b WHERE b.k = a.k)) AS u(x);
CREATE MATERIALIZED VIEW v2 AS SELECT a.v, u.x, u.o FROM a LEFT JOIN LATERAL unnest((SELECT array_agg(b.w ORDER BY b.w) FROM b)) WITH ORDINALITY AS u(x, o) ON true;
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
