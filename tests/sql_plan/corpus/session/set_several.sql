-- SET of several columns at once, DEFAULT, aliases, WITH
-- postgres
CREATE TABLE t (k INT PRIMARY KEY, a INT, b TEXT DEFAULT 'd', c NUMERIC(8, 2));
CREATE TABLE u (k INT, a INT);
CREATE MATERIALIZED VIEW v AS SELECT k, a, b, c FROM t;
-- step
INSERT INTO u VALUES (1, 100), (2, 200), (9, 900);
INSERT INTO t SELECT k, a, 'u' || k, a / 8.0 FROM u;
INSERT INTO t (k, a) VALUES ((SELECT max(k) + 1 FROM t), (SELECT sum(a) FROM u));
-- step
UPDATE t SET (a, b) = (a + 1, upper(b)) WHERE k < 5;
-- step
UPDATE t AS x SET (a, c) = (SELECT max(u.a * 2), min(u.k) FROM u WHERE u.k = x.k) WHERE x.k IN (1, 10);
-- step
WITH w AS (SELECT k, a + 1 AS a FROM u) UPDATE t SET a = w.a, b = DEFAULT FROM w WHERE w.k = t.k AND t.k <> 2;
-- step
WITH w AS (SELECT k FROM u WHERE a > 150) DELETE FROM t USING w WHERE t.k = w.k;
-- step
UPDATE t SET a = NULL, b = '7', c = 1.005;
