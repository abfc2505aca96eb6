-- Snowflake writes the comparison of times apart
CREATE TABLE bid (k INT, ts TIMESTAMP, n INT);
CREATE TABLE rates (k INT, ts TIMESTAMP, rate INT);
CREATE MATERIALIZED VIEW v AS
SELECT b.n, r.rate FROM bid AS b ASOF JOIN rates AS r MATCH_CONDITION (b.ts >= r.ts) ON b.k = r.k;
-- oracle v: SELECT b.n, r.rate FROM bid b ASOF JOIN rates r ON b.k = r.k AND b.ts >= r.ts
CREATE MATERIALIZED VIEW w AS
SELECT bid.n, rates.rate FROM bid ASOF JOIN rates MATCH_CONDITION (bid.ts < rates.ts) USING (k);
-- oracle w: SELECT b.n, r.rate FROM bid b ASOF JOIN rates r ON b.k = r.k AND b.ts < r.ts
-- step
INSERT INTO rates VALUES (1, '2024-01-01 00:00:00', 10), (2, '2024-01-01 00:00:03', 20);
INSERT INTO bid VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:05', 2), (2, '2024-01-01 00:00:01', 3);
-- step
INSERT INTO rates VALUES (1, '2024-01-01 00:00:04', 11);
DELETE FROM bid WHERE n = 1;
