-- a function that is replaced, and dropped with what calls it
-- alone
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE python AS $$ def f(n): return n + 1 $$;
CREATE TABLE t (n INT);
INSERT INTO t VALUES (1);
-- step
-- answers SELECT f(n) FROM t => [(11,)]
-- answers SHOW FUNCTIONS => [('f',)]
CREATE OR REPLACE FUNCTION f(n INT) RETURNS INT LANGUAGE python AS $$ def f(n): return n + 10 $$;
CREATE FUNCTION IF NOT EXISTS f(n INT) RETURNS INT LANGUAGE python AS $$ def f(n): return 0 $$;
CREATE MATERIALIZED VIEW v AS SELECT f(n) AS m FROM t;
CREATE VIEW w AS SELECT m FROM v;
-- refused: v calls it
DROP FUNCTION f;
-- refused: v calls it
CREATE OR REPLACE FUNCTION f(n INT) RETURNS INT LANGUAGE python AS $$ def f(n): return 0 $$;
-- refused: exists already
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE python AS $$ def f(n): return 0 $$;
-- refused: does not run
CREATE FUNCTION g(n INT) RETURNS INT LANGUAGE python AS $$ def g(n) return 0 $$;
-- step
-- answers SHOW FUNCTIONS => []
-- answers SHOW VIEWS => []
-- answers SHOW MATERIALIZED VIEWS => []
DROP FUNCTION f CASCADE;
DROP FUNCTION IF EXISTS f;
-- refused: no function 'f'
DROP FUNCTION f;
