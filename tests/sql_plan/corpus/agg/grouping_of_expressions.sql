-- grouping() of expressions in parentheses
CREATE TABLE a (k INT, v INT);
CREATE MATERIALIZED VIEW v1 AS SELECT (v % 2) AS p, k, grouping((v % 2), k) AS g, count(*) AS n FROM a GROUP BY GROUPING SETS ((v % 2), (k), ());
-- step
INSERT INTO a VALUES (1, 1), (1, 2), (2, 3), (NULL, NULL);
-- step
DELETE FROM a WHERE v = 2;
