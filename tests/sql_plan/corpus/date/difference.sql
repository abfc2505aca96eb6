-- differences of dates are days, of instants intervals
-- postgres
CREATE TABLE e (id INT PRIMARY KEY, ts TIMESTAMP, day DATE, n INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, day - DATE '2000-01-01' AS a, ts - TIMESTAMP '2021-03-14 00:00:00' AS b FROM e;
-- step
INSERT INTO e VALUES (1, '2024-02-29 23:59:59.5', '2024-02-29', 1), (2, '2023-12-31 00:00:00', '2023-12-31', -2), (3, NULL, NULL, NULL);
-- step
INSERT INTO e VALUES (4, '1999-01-01 12:34:56.789012', '1970-01-01', 30), (5, '2000-06-15 06:07:08', '2001-01-01', 0);
UPDATE e SET day = day + 1 WHERE id = 1;
-- step
UPDATE e SET ts = ts + INTERVAL '1 day 2 hours' WHERE n > 0;
-- step
DELETE FROM e WHERE id <> 2;
