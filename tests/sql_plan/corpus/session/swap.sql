-- an UPDATE that swaps the keys of two rows, which PostgreSQL would check row by row
-- alone
CREATE TABLE t (k INT PRIMARY KEY, v TEXT);
CREATE MATERIALIZED VIEW v AS SELECT k, v FROM t;
-- step
-- rows v: [(2, 'a'), (1, 'b')]
INSERT INTO t VALUES (1, 'a'), (2, 'b');
UPDATE t SET k = 3 - k;
-- step
-- rows v: [(3, 'a'), (2, 'b')]
UPDATE t SET k = k + 1;
