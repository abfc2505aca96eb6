-- a column that is not there is named, with suggestions
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k FROM a;
-- step
INSERT INTO a VALUES (1, 1, 'a');
-- refused: no column 'kk'
CREATE MATERIALIZED VIEW bad AS SELECT kk FROM a;
-- step
INSERT INTO a VALUES (2, 2, 'b');
