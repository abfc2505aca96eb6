-- jsonb_set, jsonb_insert, without nulls
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, n NUMERIC(12, 3), s TEXT, p TEXT, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, a INT[], j TEXT, bo BOOLEAN);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, jsonb_set('[{"f1":1,"f2":null},2]', '{0,f1}', '[2,3,4]', false)::text AS x1, jsonb_set('{"a":1}', '{b}', to_jsonb(i))::text AS x2, jsonb_insert('{"a": [0,1,2]}', '{a, 1}', '"new"')::text AS x3, jsonb_strip_nulls('{"a":null,"b":{"c":null}}')::text AS x4, json_strip_nulls('{"a":null,"b":1}')::text AS x5, array_to_json(a)::text AS x6, row_to_json(ROW(i, p))::text AS x7, to_jsonb(a)::text AS x8 FROM w;
-- step
INSERT INTO w VALUES (1, 7, 10000000000, 2.5, 1.005, 'Hello World', 'o', '2020-02-29', '2020-02-29 13:14:15.678901', '2021-05-06 07:08:09+00', ARRAY[1,2,3], '{"a":1,"b":[1,2,"x"],"c":{"d":null}}', true), (2, -7, -3, -0.25, -12.5, '', '', '1999-12-31', '1999-12-31 23:59:59.999', '1970-01-01 00:00:00+00', ARRAY[4,NULL], '[1,2,3]', false), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- step
INSERT INTO w VALUES (4, 0, 0, 0, 0, 'a_b c', '_', '2021-01-03', '2021-01-03 00:00:00', '2000-01-01 12:00:00+00', ARRAY[9,9,9], '5', NULL), (5, 123, 5, 1234567.891, 999.999, 'a,b,,c', ',', '1987-01-01', '2024-07-04 05:06:07', '2024-07-04 05:06:07+00', ARRAY[2,1], '"str"', true);
UPDATE w SET i = i + 1, s = s || '.' WHERE id = 2;
-- step
DELETE FROM w WHERE id IN (1, 3);
-- step
DELETE FROM w;
