-- EXPLAIN of a view by its name, in Flink's words, and with an error at its place
-- alone
CREATE TABLE a (k INT, v INT);
CREATE MATERIALIZED VIEW v1 AS SELECT k FROM a WHERE v > 1;
-- refused: no column 'kk' at line 1, column 16
EXPLAIN SELECT kk FROM a;
-- refused: no column 'kk' at line 1, column 25
EXPLAIN PLAN FOR SELECT kk FROM a;
-- refused: takes no options
EXPLAIN ANALYZE SELECT k FROM a;
-- refused: a is no view
EXPLAIN a;
-- refused: no table or view 'w'
EXPLAIN MATERIALIZED VIEW w;
-- step
EXPLAIN v1;
EXPLAIN PLAN FOR SELECT k FROM a;
