-- ALL of an array, true of an empty one
-- postgres
CREATE TABLE n (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, d NUMERIC(12, 3));
CREATE MATERIALIZED VIEW v1 AS
SELECT id, i <> ALL (ARRAY[7, 3]) AS x, i > ALL ('{}'::int[]) AS y, i >= ALL (ARRAY[0, NULL]) AS z FROM n;
-- step
INSERT INTO n VALUES (1, 7, 10000000000, 2.5, 1.005), (2, -7, -3, -0.25, -12.5), (3, 0, 0, 0, 0), (4, NULL, NULL, NULL, NULL);
-- step
UPDATE n SET i = i * 2 + 1, f = f * 1.5 WHERE id < 3;
INSERT INTO n VALUES (5, 1, 1, 1e10, 999999.999);
-- step
DELETE FROM n WHERE id IN (1, 4);
-- step
DELETE FROM n;
