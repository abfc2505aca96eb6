-- what statements return
CREATE TABLE t (k INT PRIMARY KEY, v INT, s TEXT DEFAULT 'none');
CREATE MATERIALIZED VIEW v AS SELECT k, v, s FROM t;
-- step
INSERT INTO t (k, v) VALUES (1, 10), (2, 20), (3, NULL) RETURNING k, s;
-- step
UPDATE t SET v = v + 1, s = 'x' || k WHERE v > 10 RETURNING *;
-- step
INSERT INTO t VALUES (3, 30, 'c'), (4, 40, 'd') ON CONFLICT (k) DO UPDATE SET v = excluded.v, s = t.s || excluded.s WHERE excluded.v > 20 RETURNING k;
-- step
INSERT INTO t VALUES (1, 5, 'e') ON CONFLICT (k) DO UPDATE SET v = excluded.v WHERE t.v < 0;
-- step
DELETE FROM t WHERE k % 2 = 0 RETURNING k, v;
