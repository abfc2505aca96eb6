-- a row whose result is out of range is a bad row: the others stay
CREATE TABLE o (id INT PRIMARY KEY, a INT, b BIGINT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, a + 1 AS p, a * 2 AS q, b * b AS r, -a AS n FROM o;
CREATE MATERIALIZED VIEW v2 AS
SELECT sum(a * 3) AS s, count(*) AS n FROM o WHERE b - 1 < 5;
-- step
INSERT INTO o VALUES (1, 5, 2), (2, NULL, NULL), (3, -7, 3);
-- step
-- rows v1: [(1, 6, 10, 4, -5), (2, None, None, None, None), (3, -6, -14, 9, 7), (6, 9, 16, 1, -8)]
-- rows v2: [(18, 3)]
INSERT INTO o VALUES (4, 2147483647, 2), (5, 1, 4000000000), (6, 8, 1);
-- step
DELETE FROM o WHERE id IN (4, 5);
