-- a row in a list of rows
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k, v FROM a WHERE (k, v) IN ((1, 10), (2, 5), (3, 5));
CREATE MATERIALIZED VIEW v2 AS
SELECT k, v FROM a WHERE (k, s) NOT IN ((1, 'x'), (2, 'b'));
-- step
INSERT INTO b VALUES (1, 1), (1, 1), (2, 2), (NULL, NULL);
-- step
INSERT INTO a VALUES (1, 1, 'a'), (1, 1, 'a'), (2, 1, 'b'), (NULL, NULL, NULL), (NULL, 3, 'a');
-- step
UPDATE b SET k = 2 WHERE k IS NULL;
DELETE FROM a WHERE v IS NULL;
-- step
DELETE FROM b;
-- step
INSERT INTO b VALUES (2, 0.5);
INSERT INTO a VALUES (2, 2, 'c');
