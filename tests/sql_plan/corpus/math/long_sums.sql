-- a sum of bigint is numeric and does not overflow, one of int is bigint
-- postgres
CREATE TABLE o (id INT PRIMARY KEY, a INT, b BIGINT, c SMALLINT, s TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT sum(b) AS b, sum(a) AS a, sum(b) / 2 AS h, count(*) AS n FROM o;
CREATE MATERIALIZED VIEW v2 AS
SELECT id, sum(b) OVER (ORDER BY id) AS r, sum(b) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS w FROM o;
-- step
INSERT INTO o VALUES (1, 1000, 5000000000, 100, '12'), (2, NULL, NULL, NULL, NULL), (3, -7, -1, -3, '-3');
-- step
INSERT INTO o VALUES (4, 2147483646, 9223372036854775806, 32766, '2147483647');
-- step
UPDATE o SET a = a - 1000, b = b - 1 WHERE id <> 4;
DELETE FROM o WHERE id = 3;
-- step
DELETE FROM o;
