-- centuries, decades and fractions
-- postgres
CREATE TABLE e (id INT PRIMARY KEY, at TIMESTAMP, day DATE, n INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, extract(century FROM at) AS a, extract(decade FROM at) AS b, extract(millennium FROM at) AS c, extract(milliseconds FROM at) AS d, extract(microseconds FROM at) AS e, extract(epoch FROM at) AS f FROM e;
-- step
INSERT INTO e VALUES (1, '2021-03-14 01:30:00', '2021-03-14', 5), (2, '2021-03-14 01:44:59', '2021-03-15', 7), (3, '2021-11-07 23:15:00', '2021-11-07', 11);
-- step
UPDATE e SET at = at - INTERVAL '45 minutes', n = NULL WHERE id = 2;
-- step
INSERT INTO e (id, at) VALUES (4, '2021-03-14 01:30:00');
DELETE FROM e WHERE id = 1;
-- step
DELETE FROM e;
