-- floor, ceil and round of numerics have nothing behind the point, and room before it
-- postgres
CREATE TABLE a (k INT, n NUMERIC(3, 2));
CREATE MATERIALIZED VIEW v1 AS SELECT k, floor(n) AS a1, ceil(n) AS a2, floor(n)::text AS a3, ceil(n)::text AS a4, round(n)::text AS a5, trunc(n)::text AS a6, round(125.5, -1)::text AS a7, floor(n) * 2 AS a8 FROM a;
-- step
INSERT INTO a VALUES (1, 9.99), (2, -9.99), (3, 0.5), (4, NULL), (5, -0.4);
