-- the version of a row at the event time of another one
-- waits
CREATE TABLE bid (k INT, ts TIMESTAMP, n INT, WATERMARK FOR ts AS ts - INTERVAL '2 seconds') APPEND ONLY;
CREATE TABLE rates (k INT, ts TIMESTAMP, rate INT, WATERMARK FOR ts AS ts) APPEND ONLY;
CREATE MATERIALIZED VIEW v AS
SELECT b.n, r.rate FROM bid b JOIN rates FOR SYSTEM_TIME AS OF b.ts AS r ON r.k = b.k;
-- oracle v: SELECT n, rate FROM bid b ASOF JOIN rates r ON b.k = r.k AND b.ts >= r.ts WHERE b.ts < (SELECT max(ts) - INTERVAL '2 seconds' FROM bid) AND b.ts < (SELECT max(ts) FROM rates)
CREATE MATERIALIZED VIEW all_of AS
SELECT b.n, r.rate FROM bid b LEFT JOIN rates FOR SYSTEM_TIME AS OF b.ts AS r ON r.k = b.k;
-- oracle all_of: SELECT n, rate FROM bid b ASOF LEFT JOIN rates r ON b.k = r.k AND b.ts >= r.ts WHERE b.ts < (SELECT max(ts) - INTERVAL '2 seconds' FROM bid) AND b.ts < (SELECT max(ts) FROM rates)
CREATE MATERIALIZED VIEW dear AS
SELECT b.n, r.rate FROM bid b JOIN rates FOR SYSTEM_TIME AS OF b.ts AS r ON r.k = b.k AND r.rate > 10;
-- oracle dear: SELECT n, rate FROM bid b ASOF JOIN rates r ON b.k = r.k AND b.ts >= r.ts WHERE rate > 10 AND b.ts < (SELECT max(ts) - INTERVAL '2 seconds' FROM bid) AND b.ts < (SELECT max(ts) FROM rates)
-- step
INSERT INTO rates VALUES (1, '2024-01-01 00:00:00', 10), (2, '2024-01-01 00:00:03', 20);
INSERT INTO bid VALUES (1, '2024-01-01 00:00:00', 1), (2, '2024-01-01 00:00:01', 2);
-- step
INSERT INTO bid VALUES (1, '2024-01-01 00:00:05', 3), (3, '2024-01-01 00:00:04', 4);
INSERT INTO rates VALUES (1, '2024-01-01 00:00:04', 11);
-- step
INSERT INTO bid VALUES (1, '2024-01-01 00:00:09', 5), (2, '2024-01-01 00:00:09', 6);
INSERT INTO rates VALUES (3, '2024-01-01 00:00:30', 30);
-- step
INSERT INTO bid VALUES (1, '2024-01-01 00:01:00', 7);
