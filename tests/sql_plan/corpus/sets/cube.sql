-- CUBE
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k, s, sum(v) AS a FROM a GROUP BY CUBE (k, s);
-- step
INSERT INTO a VALUES (1, 10, 'x'), (1, 20, 'y'), (2, NULL, 'x'), (NULL, 7, NULL);
INSERT INTO b VALUES (1, 1.5), (2, 2.5), (2, 3.5), (NULL, 0);
-- step
INSERT INTO a VALUES (1, 10, 'x'), (3, 5, 'z'), (2, 5, NULL);
-- step
DELETE FROM b WHERE k = 2;
INSERT INTO b VALUES (3, NULL), (3, 9);
-- step
UPDATE a SET k = 2 WHERE v = 10;
UPDATE b SET w = w + 1;
-- step
DELETE FROM a;
