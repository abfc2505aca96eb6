-- div, factorial, scales, degrees, buckets
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, n NUMERIC(12, 3), s TEXT, p TEXT, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, a INT[], j TEXT, bo BOOLEAN);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, div(n, 2) AS x1, div(b, 7) AS x2, factorial(abs(i) % 7) AS x3, scale(n) AS x4, min_scale(n) AS x5, sind(30) AS x6, cosd(60) AS x7, tand(45) AS x8, atand(1) AS x9, asind(0.5) AS x10, width_bucket(f, ARRAY[0.0, 1, 2]::float8[]) AS x11, width_bucket(d, ARRAY['1999-01-01','2020-01-01']::date[]) AS x12, pg_typeof(n) AS x13, pg_typeof(ts) AS x14, atan2d(1, 1) AS x15 FROM w;
-- step
INSERT INTO w VALUES (1, 7, 10000000000, 2.5, 1.005, 'Hello World', 'o', '2020-02-29', '2020-02-29 13:14:15.678901', '2021-05-06 07:08:09+00', ARRAY[1,2,3], '{"a":1,"b":[1,2,"x"],"c":{"d":null}}', true), (2, -7, -3, -0.25, -12.5, '', '', '1999-12-31', '1999-12-31 23:59:59.999', '1970-01-01 00:00:00+00', ARRAY[4,NULL], '[1,2,3]', false), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- step
INSERT INTO w VALUES (4, 0, 0, 0, 0, 'a_b c', '_', '2021-01-03', '2021-01-03 00:00:00', '2000-01-01 12:00:00+00', ARRAY[9,9,9], '5', NULL), (5, 123, 5, 1234567.891, 999.999, 'a,b,,c', ',', '1987-01-01', '2024-07-04 05:06:07', '2024-07-04 05:06:07+00', ARRAY[2,1], '"str"', true);
UPDATE w SET i = i + 1, s = s || '.' WHERE id = 2;
-- step
DELETE FROM w WHERE id IN (1, 3);
-- step
DELETE FROM w;
