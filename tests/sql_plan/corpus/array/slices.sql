-- slices are cut to the array
-- postgres
CREATE TABLE l (id INT PRIMARY KEY, xs INT[], ts TEXT[]);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, xs[2:3] AS a, xs[:2] AS b, xs[2:] AS c, xs[5:9] AS d FROM l;
-- step
INSERT INTO l VALUES (1, ARRAY[1, 2, 3], ARRAY['a', 'b']), (2, ARRAY[5, NULL, 5], ARRAY['x']), (3, NULL, NULL);
-- step
INSERT INTO l VALUES (4, ARRAY[4, 3, 2, 1], ARRAY['b', NULL, 'c d']);
UPDATE l SET xs = ARRAY[9, 2] WHERE id = 1;
-- step
DELETE FROM l WHERE id = 2;
UPDATE l SET xs = ARRAY[1], ts = ARRAY['z'] WHERE id = 3;
-- step
DELETE FROM l;
