-- periods that overlap, times on dates, made instants
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, n NUMERIC(12, 3), s TEXT, p TEXT, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, a INT[], j TEXT, bo BOOLEAN);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, (d, d + 10) OVERLAPS (date '2020-03-01', date '2020-03-05') AS x1, (ts, interval '1 day') OVERLAPS (timestamp '2020-03-01', interval '1 hour') AS x2, d + time '03:00' AS x3, time '05:00' - interval '6 hours' AS x4, make_timestamptz(2013, 7, 15, 8, 15, 23.5) AS x5, make_timestamptz(2013, 7, 15, 8, 15, 23.5, 'Europe/Berlin') AS x6, isfinite(d) AS x7, timezone('America/New_York', ts) AS x8, date_part('epoch', tz) AS x9 FROM w;
-- step
INSERT INTO w VALUES (1, 7, 10000000000, 2.5, 1.005, 'Hello World', 'o', '2020-02-29', '2020-02-29 13:14:15.678901', '2021-05-06 07:08:09+00', ARRAY[1,2,3], '{"a":1,"b":[1,2,"x"],"c":{"d":null}}', true), (2, -7, -3, -0.25, -12.5, '', '', '1999-12-31', '1999-12-31 23:59:59.999', '1970-01-01 00:00:00+00', ARRAY[4,NULL], '[1,2,3]', false), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- step
INSERT INTO w VALUES (4, 0, 0, 0, 0, 'a_b c', '_', '2021-01-03', '2021-01-03 00:00:00', '2000-01-01 12:00:00+00', ARRAY[9,9,9], '5', NULL), (5, 123, 5, 1234567.891, 999.999, 'a,b,,c', ',', '1987-01-01', '2024-07-04 05:06:07', '2024-07-04 05:06:07+00', ARRAY[2,1], '"str"', true);
UPDATE w SET i = i + 1, s = s || '.' WHERE id = 2;
-- step
DELETE FROM w WHERE id IN (1, 3);
-- step
DELETE FROM w;
