-- intervals times and by numbers
-- postgres
CREATE TABLE e (id INT PRIMARY KEY, ts TIMESTAMP, day DATE, n INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, n * INTERVAL '1 hour' AS a, INTERVAL '1 hour' / 4 AS b, ts + 2 * INTERVAL '1 day' AS c, INTERVAL '1 day' - INTERVAL '2 hours' AS d FROM e;
-- step
INSERT INTO e VALUES (1, '2021-03-14 01:30:00', '2021-03-14', 5), (2, '2021-03-14 01:44:59', '2021-03-15', 7), (3, '2021-11-07 23:15:00', '2021-11-07', 11);
-- step
UPDATE e SET ts = ts - INTERVAL '45 minutes', n = NULL WHERE id = 2;
-- step
INSERT INTO e (id, ts) VALUES (4, '2021-03-14 01:30:00');
DELETE FROM e WHERE id = 1;
-- step
DELETE FROM e;
