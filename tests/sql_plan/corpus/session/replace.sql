-- OR REPLACE, IF NOT EXISTS, and what reads what
-- alone
CREATE TABLE t (a INT);
INSERT INTO t VALUES (1);
CREATE VIEW v AS SELECT a FROM t;
CREATE TABLE IF NOT EXISTS t (other TEXT);
-- step
-- answers SELECT * FROM v => [(2,)]
-- answers SHOW VIEWS => [('v',)]
CREATE OR REPLACE VIEW v AS SELECT a + 1 AS b FROM t;
CREATE VIEW IF NOT EXISTS v AS SELECT 0 AS z;
-- step
-- answers SELECT * FROM v => [(10,)]
-- answers SHOW VIEWS => []
-- answers SHOW MATERIALIZED VIEWS => [('v',)]
CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT a * 10 AS c FROM t;
-- refused: v reads it
CREATE OR REPLACE TABLE t (z INT);
-- refused: exists already
CREATE TABLE T (z INT);
-- refused: exists already
CREATE VIEW v AS SELECT 1 AS x;
-- refused: v reads it
DROP TABLE t RESTRICT;
-- step
-- answers SELECT * FROM t => []
-- answers DESCRIBE t => [('z', 'TEXT')]
DROP VIEW v;
CREATE OR REPLACE TABLE t (z TEXT);
-- step
-- answers SHOW TABLES => []
DROP TABLE IF EXISTS t, u CASCADE;
