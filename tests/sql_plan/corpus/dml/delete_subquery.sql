-- a deletion by a query
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT count(*) AS c, max(v) AS m FROM a;
-- step
INSERT INTO a SELECT g, g * 2, NULL FROM generate_series(1, 6) AS t (g);
-- step
DELETE FROM a WHERE v > (SELECT avg(v) FROM a);
-- step
DELETE FROM a WHERE k IN (SELECT min(k) FROM a);
