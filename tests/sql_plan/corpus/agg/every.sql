-- every is bool_and
-- postgres
CREATE TABLE f (id INT PRIMARY KEY, p BOOLEAN, q BOOLEAN);
CREATE MATERIALIZED VIEW v1 AS
SELECT every(p) AS a, bool_or(q) AS b, bool_and(p OR q) AS c FROM f;
-- step
INSERT INTO f VALUES (1, TRUE, TRUE), (2, TRUE, FALSE), (3, TRUE, NULL), (4, FALSE, TRUE), (5, FALSE, FALSE), (6, FALSE, NULL), (7, NULL, TRUE), (8, NULL, FALSE), (9, NULL, NULL);
-- step
UPDATE f SET p = NOT p WHERE q;
-- step
DELETE FROM f WHERE p;
-- step
DELETE FROM f;
