-- rows that stay are written to files
-- alone
CREATE TABLE t (k INT, v TEXT) APPEND ONLY;
CREATE SINK s AS SELECT k, upper(v) AS v FROM t WHERE k > 1 WITH (connector = 'files', path = '{folder}/out', format = 'parquet', roll_rows = 2);
-- step
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
-- step
-- answers SELECT k, v FROM '{folder}/out/*.parquet' WHERE k < 4 => [(2, 'B'), (3, 'C')]
INSERT INTO t VALUES (4, 'd'), (5, 'e');
