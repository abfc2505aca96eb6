-- USING in a left join
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k, v, w FROM a LEFT JOIN b USING (k);
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
