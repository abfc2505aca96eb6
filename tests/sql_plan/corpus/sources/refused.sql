-- sources that cannot be
-- alone
CREATE TABLE t (k INT);
-- refused: a source has columns and types only
CREATE SOURCE g (k INT PRIMARY KEY) WITH (connector = 'rate');
-- refused: exists already
CREATE SOURCE t WITH (connector = 'rate');
-- refused: given twice
CREATE SOURCE g (k INT, K INT) WITH (connector = 'rate');
-- refused: cannot be replaced
CREATE OR REPLACE SOURCE t WITH (connector = 'rate');
-- refused: is a table
DROP SOURCE t;
