-- sinks that cannot be
-- alone
CREATE TABLE t (k INT, v INT);
CREATE TABLE keyed (k INT PRIMARY KEY, v INT);
-- refused: has no primary key
CREATE SINK s INTO t AS SELECT k, count(*) AS v FROM keyed GROUP BY k;
-- refused: would be filled from itself
CREATE SINK s INTO keyed AS SELECT k, v + 1 AS v FROM keyed;
-- refused: columns for the 2
CREATE SINK s INTO keyed AS SELECT k FROM t;
-- refused: CAST it
CREATE SINK s INTO keyed AS SELECT k, 'x' AS v FROM t;
-- refused: no table 'nope'
CREATE SINK s INTO nope AS SELECT k, v FROM t;
-- refused: APPEND ONLY is for tables
CREATE SINK s INTO keyed AS SELECT k, v FROM t APPEND ONLY;
