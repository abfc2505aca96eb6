-- columns of one name in a query inside: a star stands for each of them
-- postgres
CREATE TABLE a (k INT, v INT);
CREATE TABLE b (k INT, v INT);
CREATE MATERIALIZED VIEW m (k1, v1, k2, v2) AS SELECT * FROM (SELECT * FROM a JOIN b ON a.k = b.k) AS x;
CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n FROM (SELECT * FROM a, b) AS x;
-- step
INSERT INTO a VALUES (1, 2), (2, 3);
INSERT INTO b VALUES (1, 20), (1, 30), (3, 1);
-- step
DELETE FROM b WHERE v = 20;
