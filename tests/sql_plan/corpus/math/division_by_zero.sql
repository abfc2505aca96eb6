-- a row that divides by zero gives null, the others their values
CREATE TABLE n (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, d NUMERIC(12, 3));
CREATE MATERIALIZED VIEW v1 AS
SELECT id, 10 / i AS x, 10 % i AS y FROM n;
-- step
INSERT INTO n (id, i) VALUES (1, 5), (2, 0), (3, NULL), (4, -3);
-- rows v1: [(1, 2, 0), (2, None, None), (3, None, None), (4, -3, 1)]
