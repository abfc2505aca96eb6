-- an interval cast to an interval keeps its months
-- postgres
CREATE TABLE a (k INT, d DATE);
CREATE MATERIALIZED VIEW v1 AS SELECT k, d + CAST(INTERVAL '1 month' AS INTERVAL) AS a1, d + '1 month'::interval::interval AS a2 FROM a;
-- step
INSERT INTO a VALUES (1, '2024-01-31'), (2, NULL);
