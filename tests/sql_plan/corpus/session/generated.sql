-- columns that are computed from others
-- postgres
CREATE TABLE t (k INT PRIMARY KEY, a INT, b INT GENERATED ALWAYS AS (a * 2 + k) STORED, c TEXT GENERATED ALWAYS AS (coalesce(a::text, 'none')) STORED, CHECK (a IS NULL OR a < 50));
CREATE MATERIALIZED VIEW v AS SELECT k, a, b, c FROM t;
CREATE MATERIALIZED VIEW s AS SELECT c, sum(b) AS s FROM t GROUP BY c;
-- step
INSERT INTO t (k, a) VALUES (1, 5), (2, NULL), (3, 7);
-- step
UPDATE t SET a = a + 1 WHERE k <> 3;
UPDATE t SET k = 10, b = DEFAULT WHERE k = 1;
-- step
INSERT INTO t VALUES (3, 8, DEFAULT) ON CONFLICT (k) DO UPDATE SET a = excluded.a + 1;
INSERT INTO t VALUES (4, 1, DEFAULT, DEFAULT);
-- refused: is generated
INSERT INTO t VALUES (5, 1, 2);
-- refused: is generated
UPDATE t SET b = 1;
-- refused: does not satisfy CHECK
UPDATE t SET a = 50;
-- refused: does not satisfy CHECK
INSERT INTO t (k, a) VALUES (6, 99);
-- step
DELETE FROM t WHERE b > 20;
