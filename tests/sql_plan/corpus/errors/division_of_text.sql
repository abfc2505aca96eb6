-- operators that do not exist for these types
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k FROM a;
-- refused: no such operator
CREATE MATERIALIZED VIEW bad AS SELECT s / 2 FROM a;
-- step
INSERT INTO a VALUES (2, 2, 'b');
