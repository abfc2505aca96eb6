-- equal rows stay apart, also those of arrays
-- postgres
CREATE TABLE t (a INT, b INT[]);
CREATE MATERIALIZED VIEW v AS SELECT a, cardinality(b) AS n, count(*) AS c FROM t GROUP BY a, b;
CREATE MATERIALIZED VIEW w AS SELECT a FROM t;
-- step
INSERT INTO t VALUES (1, ARRAY[1, 2]), (1, ARRAY[1, 2]), (1, NULL), (NULL, ARRAY[3]), (NULL, ARRAY[3]);
-- step
UPDATE t SET b = b || 9 WHERE a = 1;
-- step
UPDATE t SET a = 2 WHERE b = ARRAY[3];
-- step
DELETE FROM t USING t AS other WHERE t.a = other.a AND t.a = 1 AND other.b IS NOT NULL;
-- step
INSERT INTO t SELECT * FROM t;
DELETE FROM t WHERE a = 3;
