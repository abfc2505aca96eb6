-- views over views, made when there are rows already
CREATE TABLE t (k INT, v INT);
INSERT INTO t VALUES (1, 1), (1, 2), (2, 3);
CREATE MATERIALIZED VIEW a AS SELECT k, sum(v) AS s FROM t GROUP BY k;
CREATE VIEW b AS SELECT k, s * 2 AS d FROM a WHERE s > 1;
CREATE MATERIALIZED VIEW c AS SELECT max(d) AS m, count(*) AS n FROM b;
-- step
INSERT INTO t VALUES (2, 10);
-- step
CREATE MATERIALIZED VIEW d AS SELECT a.k, a.s, c.m FROM a, c WHERE a.s * 2 = c.m;
-- step
DELETE FROM t WHERE v = 10;
-- step
DELETE FROM t;
