-- NaN is above all numbers, also where it comes and goes
-- postgres
CREATE TABLE t (k INT, v DOUBLE PRECISION, r REAL);
CREATE MATERIALIZED VIEW m AS SELECT k, max(v) AS high, min(v) AS low, max(r) AS r FROM t GROUP BY k;
CREATE MATERIALIZED VIEW g AS SELECT k, greatest(v, 5), least(v, 5), greatest(r, 1::real) AS r FROM t;
-- step
INSERT INTO t VALUES (1, 'NaN', 1), (1, 1, 'NaN'), (2, 2, 2), (3, NULL, NULL), (4, 'NaN', 'NaN');
-- step
DELETE FROM t WHERE v = 'NaN' AND k = 1;
INSERT INTO t VALUES (2, 'NaN', 'NaN'), (2, '-Infinity', 'Infinity');
-- step
DELETE FROM t WHERE v = 'NaN';
