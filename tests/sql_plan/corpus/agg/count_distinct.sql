-- distinct values, nulls not among them
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT count(DISTINCT k) AS a, count(DISTINCT s) AS b, count(DISTINCT v % 2) AS c FROM a;
CREATE MATERIALIZED VIEW v2 AS
SELECT k, count(DISTINCT v) AS a, count(v) AS b, count(*) AS c FROM a GROUP BY k;
-- step
INSERT INTO a SELECT g % 4, g, CASE WHEN g % 2 = 0 THEN 'even' ELSE 'odd' END FROM generate_series(1, 10) AS t(g);
-- step
INSERT INTO b SELECT g, g / 2.0 FROM generate_series(0, 3) AS t(g);
UPDATE a SET s = NULL WHERE v > 8;
-- step
DELETE FROM a WHERE v BETWEEN 3 AND 6;
-- step
UPDATE a SET v = v % 3;
-- step
DELETE FROM b WHERE k > 0;
