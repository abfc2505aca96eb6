-- a quoted file is a table, and a file a source
-- alone
CREATE TABLE t (k INT, v TEXT) APPEND ONLY;
CREATE SINK s FROM t WITH (connector = 'files', path = '{folder}/out', format = 'csv', roll_rows = 1);
-- step
-- answers SHOW SINKS => [('s', 'writing')]
INSERT INTO t VALUES (1, 'a');
-- step
-- answers SELECT k + 1, v FROM '{folder}/out/part-*-0000.csv' LIMIT 1 => [(2, 'a')]
INSERT INTO t VALUES (1, 'a');
