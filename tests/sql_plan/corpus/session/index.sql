-- an index is a hint
-- alone
CREATE TABLE t (a INT, b TEXT);
CREATE INDEX i ON t (a);
CREATE UNIQUE INDEX IF NOT EXISTS j ON t (a, lower(b));
INSERT INTO t VALUES (1, 'x');
-- step
-- answers SELECT * FROM t => [(1, 'x')]
DROP INDEX i;
DROP INDEX IF EXISTS j;
-- refused: no table 'nope'
CREATE INDEX k ON nope (a);
-- refused: no column 'zz'
CREATE INDEX k ON t (zz);
