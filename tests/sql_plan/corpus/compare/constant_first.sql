-- a constant on the left of a comparison with a column that holds one value throughout
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT v, 5 < c AS a1, 5 = c AS a2, 5 <> c AS a3, 7 BETWEEN c AND c AS a4, nullif(5, c) AS a6, (5, 1) <= (c, v) AS a7, 5 IS DISTINCT FROM c AS a8 FROM (SELECT v, 5 AS c FROM a) AS t;
CREATE MATERIALIZED VIEW v2 AS SELECT v, nullif(cast(date_trunc('quarter', date '2020-02-29') as date), CASE WHEN s > s THEN date '2020-01-01' ELSE date '2020-01-01' END) AS d FROM a;
CREATE MATERIALIZED VIEW v3 AS SELECT v, 6 >= ALL (SELECT 5 FROM b) AS e FROM a;
-- step
INSERT INTO a VALUES (1, 10, 'x'), (2, 20, 'y'), (2, 21, NULL), (NULL, 5, 'z'), (4, NULL, 'x');
-- step
INSERT INTO b VALUES (2, 20), (2, NULL), (NULL, 5), (3, 30);
-- step
UPDATE b SET w = 10, k = 1 WHERE k = 3;
DELETE FROM a WHERE s = 'y';
-- step
DELETE FROM b WHERE w IS NULL;
-- step
DELETE FROM b;
