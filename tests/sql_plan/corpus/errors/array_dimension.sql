-- arrays have one dimension
-- postgres
CREATE TABLE l (id INT PRIMARY KEY, xs INT[], ts TEXT[]);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, xs FROM l;
-- refused: one dimension
CREATE MATERIALIZED VIEW bad AS SELECT array_length(xs, 2) FROM l;
-- step
INSERT INTO l VALUES (1, '{1}', NULL);
