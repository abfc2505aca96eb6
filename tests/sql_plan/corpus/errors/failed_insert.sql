-- a statement that fails changes nothing
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE TABLE n (id INT PRIMARY KEY);
CREATE MATERIALIZED VIEW v1 AS SELECT id FROM n;
-- step
INSERT INTO n VALUES (1), (2);
-- refused: two rows with key
INSERT INTO n VALUES (3), (1);
-- step
INSERT INTO n VALUES (4);
