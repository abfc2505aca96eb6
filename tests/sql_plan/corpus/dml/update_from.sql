-- an update from another table
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k, v FROM a;
-- step
INSERT INTO a VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO b VALUES (1, 10), (3, 30);
-- step
UPDATE a SET v = b.w::int + a.v FROM b WHERE a.k = b.k;
