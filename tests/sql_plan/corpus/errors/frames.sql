-- frames and windows that PostgreSQL refuses too, or that have no order
CREATE TABLE e (id INT PRIMARY KEY, x INT, s TEXT, ts TIMESTAMP);
-- refused: the number of ROWS in a frame is a whole number that is not negative
SELECT sum(x) OVER (ORDER BY id ROWS -1 PRECEDING) FROM e;
-- refused: exactly one column in ORDER BY at line 1
SELECT sum(x) OVER (ORDER BY id, x RANGE 1 PRECEDING) FROM e;
-- refused: needs a number or an instant, not String
SELECT sum(x) OVER (ORDER BY s RANGE 1 PRECEDING) FROM e;
-- refused: the distance between instants is an interval
SELECT sum(x) OVER (ORDER BY ts RANGE 1 PRECEDING) FROM e;
-- refused: must not be null or negative
SELECT sum(x) OVER (ORDER BY ts RANGE INTERVAL '-1 day' PRECEDING) FROM e;
-- refused: a frame cannot end before it starts
SELECT sum(x) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 1 PRECEDING) FROM e;
-- refused: a frame cannot start at UNBOUNDED FOLLOWING
SELECT sum(x) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW) FROM e;
-- refused: ROWS needs ORDER BY
SELECT sum(x) OVER (ROWS 2 PRECEDING) FROM e;
-- refused: no window 'v' at line 1, column 20
SELECT sum(x) OVER v FROM e WINDOW w AS (ORDER BY id);
-- refused: PARTITION BY of window 'w' cannot be changed
SELECT sum(x) OVER (w PARTITION BY s) FROM e WINDOW w AS (PARTITION BY id);
-- refused: window 'w' has a frame
SELECT sum(x) OVER (w ORDER BY s) FROM e WINDOW w AS (ROWS UNBOUNDED PRECEDING);
-- refused: IGNORE NULLS is for lag, lead
SELECT sum(x) IGNORE NULLS OVER (ORDER BY id) FROM e;
-- refused: FILTER stands after an aggregate only
SELECT rank() FILTER (WHERE x > 1) OVER (ORDER BY id) FROM e;
-- refused: WITH TIES needs ORDER BY
SELECT x FROM e FETCH FIRST 2 ROWS WITH TIES;
-- refused: LIMIT is a whole number that is not negative
SELECT x FROM e LIMIT -1;
