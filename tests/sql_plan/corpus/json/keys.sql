-- names of an object
-- postgres
CREATE TABLE j (id INT PRIMARY KEY, doc JSON);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, k FROM j, json_object_keys(doc) AS t(k) WHERE json_typeof(doc) = 'object' AND id = 4;
-- step
INSERT INTO j VALUES (4, '{"x": 1, "y": {"z": 2}}');
-- step
UPDATE j SET doc = '{"y": 0}';
-- step
DELETE FROM j;
