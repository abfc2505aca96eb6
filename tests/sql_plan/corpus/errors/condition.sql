-- a condition must be boolean
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k FROM a;
-- refused: must be boolean
CREATE MATERIALIZED VIEW bad AS SELECT k FROM a WHERE v;
-- step
INSERT INTO a VALUES (2, 2, 'b');
