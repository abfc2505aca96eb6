-- first_value, last_value and nth_value of a frame
-- postgres
CREATE TABLE e (id INT PRIMARY KEY, k INT, x INT, n NUMERIC(10, 2), f DOUBLE PRECISION, d DATE, ts TIMESTAMP, s TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, first_value(s) OVER w AS a, last_value(s) OVER w AS b, nth_value(s, 2) OVER w AS c, nth_value(x, 3) OVER (PARTITION BY k ORDER BY id) AS d, nth_value(id, 2) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS g FROM e WINDOW w AS (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING);
-- step
INSERT INTO e VALUES (1, 1, 5, 1.50, 0.5, '2020-01-31', '2020-01-31 10:00:00', 'a'), (2, 1, 5, -2.25, 1.5, '2020-02-29', '2020-01-31 10:30:00', NULL), (3, 1, 9, NULL, NULL, '2020-03-01', '2020-01-31 12:00:00', 'c'), (4, 2, NULL, 4, 2.5, NULL, NULL, 'd'), (5, NULL, 1, 0, -1, '2019-12-31', '2020-02-29 00:00:00', 'e');
-- step
INSERT INTO e VALUES (6, 1, 12, 7, 3.25, '2020-01-31', '2020-03-31 10:00:00', 'f'), (7, 2, 3, 1.5, 0.5, '2021-01-01', '2020-01-31 10:00:00', NULL), (8, 1, NULL, 2, 10, NULL, '2020-01-31 09:15:00', 'h');
UPDATE e SET x = x + 1 WHERE id IN (1, 5);
-- step
DELETE FROM e WHERE id IN (2, 7);
UPDATE e SET k = 1, ts = '2020-01-31 11:00:00' WHERE id = 5;
-- step
DELETE FROM e WHERE k IS NOT NULL;
