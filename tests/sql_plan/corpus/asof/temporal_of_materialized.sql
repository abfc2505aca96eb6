-- a materialized view of the latest row of each key gives its versions too
-- waits
CREATE TABLE bid (k INT, ts TIMESTAMP, n INT, WATERMARK FOR ts AS ts) APPEND ONLY;
CREATE TABLE history (k INT, ts TIMESTAMP, rate INT, WATERMARK FOR ts AS ts) APPEND ONLY;
CREATE MATERIALIZED VIEW rates AS SELECT k, ts, rate FROM (
SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM history) AS h WHERE rn = 1;
CREATE MATERIALIZED VIEW v AS
SELECT b.n, r.rate FROM bid b LEFT JOIN rates FOR SYSTEM_TIME AS OF b.ts AS r ON r.k = b.k;
-- oracle v: SELECT n, rate FROM bid b ASOF LEFT JOIN history r ON b.k = r.k AND b.ts >= r.ts WHERE b.ts < (SELECT max(ts) FROM bid) AND b.ts < (SELECT max(ts) FROM history)
-- step
-- check v
INSERT INTO history VALUES (1, '2024-01-01 00:00:00', 10), (1, '2024-01-01 00:00:03', 11);
INSERT INTO bid VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:02', 2), (2, '2024-01-01 00:00:02', 3);
-- step
-- check v
INSERT INTO history VALUES (2, '2024-01-01 00:01:00', 20);
INSERT INTO bid VALUES (1, '2024-01-01 00:00:04', 4);
-- step
-- check v
INSERT INTO bid VALUES (1, '2024-01-01 00:00:30', 5), (2, '2024-01-01 00:00:40', 6);
