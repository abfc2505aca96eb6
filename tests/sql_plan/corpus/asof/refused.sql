-- what a join as of a time does not take
CREATE TABLE a (k INT, ts TIMESTAMP);
CREATE TABLE b (k INT, ts TIMESTAMP, v INT);
-- refused: one comparison of times
SELECT * FROM a ASOF JOIN b ON a.k = b.k;
-- refused: one comparison of times
SELECT * FROM a ASOF JOIN b ON a.k = b.k AND a.ts >= b.ts AND b.v > 1;
-- refused: a right join as of a time is not supported
SELECT * FROM a ASOF RIGHT JOIN b ON a.k = b.k AND a.ts >= b.ts;
-- refused: compares times with >=
SELECT * FROM a ASOF JOIN b ON a.k = b.k AND a.ts <> b.ts;
-- refused: compares a time of each side
SELECT * FROM a ASOF JOIN b ON a.k = b.k AND b.ts >= b.v;
-- refused: needs equal keys
SELECT * FROM a, b FOR SYSTEM_TIME AS OF a.ts;
-- refused: needs equal keys
SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.ts > b.ts;
-- refused: no time of its versions
CREATE MATERIALIZED VIEW v AS SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k;
-- refused: needs rows that stay
CREATE MATERIALIZED VIEW v AS SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF PROCTIME() ON a.k = b.k;
-- refused: VERSION is not supported here
SELECT * FROM a FOR SYSTEM_TIME AS OF '2024-01-01';
-- refused: cannot compare times
SELECT * FROM a ASOF JOIN b ON a.k = b.k AND a.ts >= b.v;
