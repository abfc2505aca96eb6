-- the same equality twice, and once more the other way round
CREATE TABLE a (k INT, v INT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT v, w FROM a JOIN b ON a.k = b.k AND a.k = b.k AND b.k = a.k;
CREATE MATERIALIZED VIEW v2 AS SELECT v, w FROM a LEFT JOIN b ON a.k = b.k AND a.k IS NOT DISTINCT FROM b.k;
CREATE MATERIALIZED VIEW v3 AS SELECT v, w FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k AND b.k IS NOT DISTINCT FROM a.k;
-- step
INSERT INTO a VALUES (1, 1), (1, 2), (2, 3), (NULL, 4);
INSERT INTO b VALUES (1, 1), (NULL, 2), (3, 3);
-- step
DELETE FROM a WHERE v = 2;
