-- a view made later starts from what is there
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k FROM a;
-- step
DELETE FROM a;
-- step
INSERT INTO a VALUES (1, 1, 'a'), (2, 2, 'b');
-- step
CREATE MATERIALIZED VIEW later AS SELECT count(*) AS c FROM a;
-- step
DELETE FROM a WHERE k = 1;
