-- IN with columns of other types
CREATE TABLE n (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, d NUMERIC(12, 3));
CREATE MATERIALIZED VIEW v1 AS
SELECT id, 3 IN (i, b, d) AS x, i IN (b, 18) AS y FROM n;
-- step
INSERT INTO n VALUES (1, 3, 3, 3, 3), (2, 3, 4, 0.1, 0.1);
-- step
INSERT INTO n (id, i) VALUES (3, 12), (4, 18);
INSERT INTO n (id, f, d) VALUES (5, -1.75, 8.125);
-- step
UPDATE n SET b = i, d = i / 2.0, f = NULL;
-- step
UPDATE n SET i = NULL WHERE id = 1;
DELETE FROM n WHERE id = 2;
