-- VALUES as the first of a join in parentheses
CREATE TABLE a (k INT, s TEXT);
CREATE TABLE b (k INT, s TEXT);
CREATE MATERIALIZED VIEW v AS SELECT a.k, x.i, x.u, b.k AS bk FROM a JOIN ((VALUES (1, 'x'), (2, 'y')) x(i, u) RIGHT JOIN b ON x.i >= b.k) ON a.s = b.s;
CREATE MATERIALIZED VIEW w AS SELECT a.k, (SELECT max(b.k) FROM b WHERE b.k <= x.i) AS m FROM a CROSS JOIN ((VALUES (1), (3)) x(i) JOIN b c ON x.i = c.k);
-- step
INSERT INTO a VALUES (1, 'p'), (2, 'q'), (3, NULL);
INSERT INTO b VALUES (1, 'p'), (2, 'q'), (5, 'q');
-- step
UPDATE b SET k = 3 WHERE k = 5;
DELETE FROM a WHERE k = 1;
