-- rows of different width
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k FROM a;
-- refused: rows of as many values
CREATE MATERIALIZED VIEW bad AS SELECT k FROM a WHERE (k, v) = (1, 2, 3);
-- step
INSERT INTO a VALUES (2, 2, 'b');
