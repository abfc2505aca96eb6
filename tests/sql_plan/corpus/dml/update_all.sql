-- an update of every row
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k, sum(v) AS s FROM a GROUP BY k;
-- step
INSERT INTO a VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 3, NULL);
-- step
UPDATE a SET k = k + 1, v = k;
-- step
UPDATE a SET s = 'x' WHERE s IS NULL;
UPDATE a SET v = NULL;
