-- centuries, decades and fractions
-- postgres
CREATE TABLE e (id INT PRIMARY KEY, ts TIMESTAMP, day DATE, n INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, extract(century FROM ts) AS a, extract(decade FROM ts) AS b, extract(millennium FROM ts) AS c, extract(milliseconds FROM ts) AS d, extract(microseconds FROM ts) AS e, extract(epoch FROM ts) AS f FROM e;
-- step
INSERT INTO e VALUES (1, '2021-03-14 01:30:00', '2021-03-14', 5), (2, '2021-03-14 01:44:59', '2021-03-15', 7), (3, '2021-11-07 23:15:00', '2021-11-07', 11);
-- step
UPDATE e SET ts = ts - INTERVAL '45 minutes', n = NULL WHERE id = 2;
-- step
INSERT INTO e (id, ts) VALUES (4, '2021-03-14 01:30:00');
DELETE FROM e WHERE id = 1;
-- step
DELETE FROM e;
