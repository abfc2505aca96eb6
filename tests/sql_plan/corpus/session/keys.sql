-- keys of several columns, swapped and moved
CREATE TABLE t (a INT, b TEXT, v INT, PRIMARY KEY (a, b));
CREATE MATERIALIZED VIEW v AS SELECT a, b, v FROM t;
-- step
INSERT INTO t VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3);
-- refused: would have two rows
INSERT INTO t VALUES (5, 'q', 0), (1, 'y', 9);
-- refused: would have two rows
INSERT INTO t VALUES (5, 'q', 0), (5, 'q', 1);
-- refused: would have two rows
UPDATE t SET b = 'x';
-- refused: cannot be null
UPDATE t SET b = NULL WHERE v = 3;
-- refused: the primary key of 't' is a, b
INSERT INTO t VALUES (1, 'x', 1) ON CONFLICT (a) DO NOTHING;
-- step
INSERT INTO t VALUES (1, 'x', 10), (3, 'z', 4), (3, 'z', 5) ON CONFLICT DO NOTHING;
-- step
UPDATE t SET v = -v WHERE a = 1;
