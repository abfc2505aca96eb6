-- a constant looked for in a list, inside aggregates
CREATE TABLE t (k TEXT, v INT);
CREATE MATERIALIZED VIEW grouped AS SELECT k, sum(CASE WHEN NOT false IN (true) THEN v ELSE 0 END) AS s, max(CASE WHEN 1 + 1 IN (2, 3) THEN v END) AS m, count(*) FILTER (WHERE 'a' IN ('b', 'c')) AS n FROM t GROUP BY k;
CREATE MATERIALIZED VIEW whole AS SELECT sum(CASE WHEN 1 IN (1, 2) THEN v ELSE 0 END) AS s, count(CASE WHEN 4 NOT IN (1, 2, 3) THEN 1 END) AS n FROM t;
-- step
INSERT INTO t VALUES ('a', 1), ('a', 2), ('b', 3), (NULL, 4), ('c', NULL);
-- step
UPDATE t SET v = v + 1 WHERE k = 'a';
DELETE FROM t WHERE k = 'b';
