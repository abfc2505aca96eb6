-- conflicts update or do nothing
CREATE TABLE n (id INT PRIMARY KEY, i INT, b BIGINT, f DOUBLE PRECISION, d NUMERIC(12, 3));
CREATE MATERIALIZED VIEW v1 AS
SELECT id, i, b FROM n;
-- step
INSERT INTO n (id, i) VALUES (1, 1), (2, 2);
-- step
INSERT INTO n (id, i, b) VALUES (1, 5, 5), (3, 3, 3) ON CONFLICT (id) DO UPDATE SET i = excluded.i + 10;
-- step
INSERT INTO n (id, i) VALUES (3, 0), (4, 4) ON CONFLICT DO NOTHING;
