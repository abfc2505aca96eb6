-- a table whose rows stay
-- alone
CREATE TABLE t (a INT, ts TIMESTAMP NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '5 seconds') APPEND ONLY;
CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(a) AS s FROM t;
-- step
-- rows v: [(2, 3)]
INSERT INTO t VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-01 00:00:01');
-- refused: append-only, cannot be deleted
DELETE FROM t;
-- refused: append-only, cannot be updated
UPDATE t SET a = 1;
-- refused: append-only, cannot be deleted
TRUNCATE t;
-- refused: cannot be null
INSERT INTO t VALUES (1, NULL);
-- refused: an append-only table has no primary key
CREATE TABLE u (a INT PRIMARY KEY) APPEND ONLY;
-- refused: a watermark needs rows that stay
CREATE TABLE u (ts TIMESTAMP, WATERMARK FOR ts AS ts);
-- step
-- rows v: [(3, 10)]
INSERT INTO t (ts, a) VALUES ('2024-01-01 00:00:02', 7);
