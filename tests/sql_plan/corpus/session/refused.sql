-- statements that are not understood say what is
-- alone
CREATE TABLE t (a INT);
-- refused: each statement is one
BEGIN;
-- refused: each statement is one
COMMIT;
-- refused: not supported
ALTER TABLE t ADD COLUMN b INT;
-- refused: this constraint is not supported
CREATE TABLE u (a INT UNIQUE);
-- refused: this constraint is not supported
CREATE TABLE u (a INT REFERENCES t (a));
-- refused: there are no schemas
SELECT * FROM other.t;
-- refused: a parameter has no value
SELECT $1;
-- refused: no table 'tt'
SELECT * FROM tt;
-- refused: no column 'A1'
SELECT A1 FROM t;
-- refused: cannot show
SHOW everything;
