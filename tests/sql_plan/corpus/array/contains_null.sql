-- array_contains of a null is null
CREATE TABLE a (k INT, l INT[]);
CREATE MATERIALIZED VIEW v1 AS SELECT k, array_contains(l, k) AS c FROM a;
-- oracle v1: SELECT k, CASE WHEN k IS NOT NULL THEN list_contains(l, k) END FROM a
-- step
INSERT INTO a VALUES (1, ARRAY[1, NULL]), (NULL, ARRAY[1, NULL]), (2, ARRAY[1]), (3, NULL), (NULL, ARRAY[]::INT[]);
