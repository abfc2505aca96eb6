-- the next row of the other side at or after a time
CREATE TABLE bid (k INT, ts TIMESTAMP, n INT);
CREATE TABLE rates (k INT, ts TIMESTAMP, rate INT);
CREATE MATERIALIZED VIEW v AS
SELECT b.k, b.n, r.rate FROM bid b ASOF JOIN rates r ON b.k = r.k AND b.ts <= r.ts;
CREATE MATERIALIZED VIEW later AS
SELECT b.k, b.n, r.rate FROM bid b ASOF LEFT JOIN rates r ON b.k = r.k AND r.ts > b.ts;
-- step
INSERT INTO rates VALUES (1, '2024-01-01 00:00:00', 10), (2, '2024-01-01 00:00:03', 20), (NULL, '2024-01-01 00:00:00', 99);
INSERT INTO bid VALUES (1, '2024-01-01 00:00:00', 1), (1, '2024-01-01 00:00:05', 2), (2, '2024-01-01 00:00:01', 3), (NULL, '2024-01-01 00:00:04', 4), (3, '2024-01-01 00:00:04', 5), (1, NULL, 6);
-- step
INSERT INTO rates VALUES (1, '2024-01-01 00:00:04', 11), (3, '2024-01-01 00:00:09', 30), (1, NULL, 98);
-- step
INSERT INTO bid VALUES (1, '2024-01-01 00:00:09', 7), (3, '2024-01-01 00:00:10', 8), (1, '2023-12-31 23:59:59', 9);
UPDATE rates SET rate = rate + 100 WHERE k = 1;
-- step
DELETE FROM rates WHERE ts = '2024-01-01 00:00:04';
-- step
DELETE FROM bid WHERE n IN (1, 2);
DELETE FROM rates WHERE k = 3;
