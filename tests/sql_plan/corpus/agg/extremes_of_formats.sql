-- several aggregates, and keys, of one column in different formats
-- postgres
CREATE TABLE e (id INT PRIMARY KEY, ts TIMESTAMP);
CREATE MATERIALIZED VIEW v1 AS
SELECT max(to_char(ts, 'HH24')) AS a, max(to_char(ts, 'MI')) AS b, min(to_char(ts, 'SS.MS')) AS c, count(DISTINCT to_char(ts, 'DD')) AS d, count(DISTINCT to_char(ts, 'MM')) AS f FROM e;
CREATE MATERIALIZED VIEW v2 AS
SELECT to_char(ts, 'YYYY') AS year, to_char(ts, 'DD') AS day, count(*) AS n FROM e GROUP BY to_char(ts, 'YYYY'), to_char(ts, 'DD');
-- step
INSERT INTO e VALUES (1, '2024-02-29 23:59:59.5'), (2, '2023-12-29 00:00:00'), (3, NULL), (4, '2024-02-29 23:58:01.25');
-- step
INSERT INTO e SELECT n, timestamp '2024-01-01' + n * interval '7 hours 13 minutes 1 second' FROM generate_series(10, 40) AS g(n);
-- step
DELETE FROM e WHERE id IN (1, 40);
