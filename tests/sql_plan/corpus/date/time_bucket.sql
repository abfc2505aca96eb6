-- time_bucket, of Timescale: weeks begin on Mondays, months in January 2000; a date stays one
CREATE TABLE a (k INT, ts TIMESTAMP, d DATE);
CREATE MATERIALIZED VIEW v1 AS SELECT k, time_bucket('15 minutes', ts) AS a1, time_bucket(INTERVAL '1 week', ts) AS a2, time_bucket(INTERVAL '5 months', ts) AS a3, time_bucket('1 day', d) AS a4, time_bucket('1 year', d) AS a5 FROM a;
CREATE MATERIALIZED VIEW v2 AS SELECT time_bucket(INTERVAL '1 hour', ts, INTERVAL '10 minutes') AS b, count(*) AS n FROM a GROUP BY 1;
CREATE MATERIALIZED VIEW v3 AS SELECT time_bucket('1 hour', ts, timestamp '2001-01-01 00:30:00') AS b, count(*) AS n FROM a GROUP BY b;
-- oracle v1: SELECT k, time_bucket(INTERVAL '15 minutes', ts), time_bucket(INTERVAL '1 week', ts), time_bucket(INTERVAL '5 months', ts), time_bucket(INTERVAL '1 day', d), time_bucket(INTERVAL '1 year', d) FROM a
-- oracle v3: SELECT time_bucket(INTERVAL '1 hour', ts, timestamp '2001-01-01 00:30:00') AS b, count(*) AS n FROM a GROUP BY b
-- refused: in months or in days and time, not both
SELECT time_bucket('1 month 2 days', ts) FROM a;
-- refused: the width of a bucket is a constant interval
SELECT time_bucket(true, ts) FROM a;
-- step
INSERT INTO a VALUES (1, '2024-02-29 10:07:33', '2024-02-29'), (2, '1999-12-31 23:59:59.5', '1999-12-31'), (3, NULL, NULL);
-- step
UPDATE a SET ts = '1969-07-20 20:17:40', d = '1969-07-20' WHERE k = 3;
DELETE FROM a WHERE k = 1;
