-- to_char: names of months and days in each case, padded or not
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, n NUMERIC(12, 3), s TEXT, p TEXT, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, a INT[], j TEXT, bo BOOLEAN);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, to_char(ts, 'Day, DD  HH12:MI:SS') AS x1, to_char(ts, 'FMDay, FMDD FMMonth YYYY') AS x2, to_char(ts, 'Mon MON mon MONTH Dy DY dy DAY day') AS x3, to_char(d, 'DDth FMMonth, YYYY') AS x4, to_char(ts, 'RM rm FMRM') AS x5 FROM w;
-- step
INSERT INTO w VALUES (1, 7, 10000000000, 2.5, 1.005, 'Hello World', 'o', '2020-02-29', '2020-02-29 13:14:15.678901', '2021-05-06 07:08:09+00', ARRAY[1,2,3], '{"a":1,"b":[1,2,"x"],"c":{"d":null}}', true), (2, -7, -3, -0.25, -12.5, '', '', '1999-12-31', '1999-12-31 23:59:59.999', '1970-01-01 00:00:00+00', ARRAY[4,NULL], '[1,2,3]', false), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- step
INSERT INTO w VALUES (4, 0, 0, 0, 0, 'a_b c', '_', '2021-01-03', '2021-01-03 00:00:00', '2000-01-01 12:00:00+00', ARRAY[9,9,9], '5', NULL), (5, 123, 5, 1234567.891, 999.999, 'a,b,,c', ',', '1987-01-01', '2024-07-04 05:06:07', '2024-07-04 05:06:07+00', ARRAY[2,1], '"str"', true);
UPDATE w SET i = i + 1, s = s || '.' WHERE id = 2;
-- step
DELETE FROM w WHERE id IN (1, 3);
-- step
DELETE FROM w;
