-- windows that cannot be
CREATE TABLE t (k INT, ts TIMESTAMP, v INT);
-- refused: needs a timestamp column
SELECT * FROM TUMBLE(t, v, INTERVAL '1' MINUTE);
-- refused: fixed, positive length
SELECT * FROM TUMBLE(t, ts, INTERVAL '1' MONTH);
-- refused: fixed, positive length
SELECT * FROM TUMBLE(t, ts, INTERVAL '0' SECOND);
-- refused: multiple of the slide
SELECT * FROM HOP(t, ts, INTERVAL '7' SECOND, INTERVAL '10' SECOND);
-- refused: takes 2 intervals
SELECT * FROM CUMULATE(t, ts, INTERVAL '10' SECOND);
-- refused: takes no PARTITION BY
SELECT * FROM TUMBLE(t PARTITION BY k, ts, INTERVAL '1' MINUTE);
-- refused: needs one table in FROM
SELECT count(*) FROM t, t AS u GROUP BY TUMBLE(t.ts, INTERVAL '1' MINUTE);
-- refused: takes one window
SELECT count(*) FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), TUMBLE(ts, INTERVAL '2' MINUTE);
-- refused: not the window of GROUP BY
SELECT TUMBLE_START(ts, INTERVAL '1' MINUTE) FROM t GROUP BY TUMBLE(ts, INTERVAL '2' MINUTE);
-- refused: gives groups
SELECT * FROM SESSION(t, ts, INTERVAL '1' MINUTE);
