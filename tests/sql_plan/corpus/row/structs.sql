-- structs that are written down, and their fields
CREATE TABLE w (id INT PRIMARY KEY, s TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, r.a AS a, (r).b AS b FROM (SELECT id, {'a': id + 1, 'b': s} AS r FROM w) q;
CREATE MATERIALIZED VIEW v2 AS
SELECT struct_pack(k := id).k AS k, count(*) AS n FROM w GROUP BY 1;
-- step
INSERT INTO w VALUES (1, 'x'), (2, NULL);
-- step
DELETE FROM w WHERE id = 1;
