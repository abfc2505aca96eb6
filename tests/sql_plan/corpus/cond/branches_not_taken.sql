-- what is not taken of CASE and COALESCE cannot fail
-- postgres
CREATE TABLE o (id INT PRIMARY KEY, a INT, b BIGINT, c SMALLINT, s TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, CASE WHEN a < 1000000 THEN a * 2 ELSE 0 END AS m, CASE WHEN s ~ '^-?[0-9]{1,3}$' THEN s::smallint END AS t, COALESCE(a, s::int) AS c FROM o;
-- step
INSERT INTO o VALUES (1, 1000, 5000000000, 100, '12'), (2, NULL, NULL, NULL, NULL), (3, -7, -1, -3, '-3');
-- step
INSERT INTO o VALUES (4, 2147483646, 9223372036854775806, 32766, '2147483647');
-- step
UPDATE o SET a = a - 1000, b = b - 1 WHERE id <> 4;
DELETE FROM o WHERE id = 3;
-- step
DELETE FROM o;
