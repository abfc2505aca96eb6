-- generate_series, and gaps filled with it
CREATE TABLE t (day DATE, v INT);
CREATE MATERIALIZED VIEW filled AS SELECT s.day::date AS day, coalesce(sum(t.v), 0) AS v FROM generate_series(TIMESTAMP '2024-02-27', TIMESTAMP '2024-03-02', INTERVAL '1 day') AS s(day) LEFT JOIN t ON t.day = s.day::date GROUP BY s.day;
CREATE MATERIALIZED VIEW numbers AS SELECT n, count(t.v) AS c FROM generate_series(1, 9, 4) AS g(n) LEFT JOIN t ON t.v >= n GROUP BY n;
-- step
INSERT INTO t VALUES ('2024-02-28', 5), ('2024-02-28', 2), ('2024-03-05', 1);
-- step
UPDATE t SET day = '2024-03-01' WHERE v = 2;
DELETE FROM t WHERE v = 1;
