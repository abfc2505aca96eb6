-- arrays are equal or not, and have no order
CREATE TABLE a (k INT, l INT[]);
CREATE MATERIALIZED VIEW v1 AS SELECT k, l = ARRAY[1, 2] AS e, l <> ARRAY[1] AS n, l IS DISTINCT FROM ARRAY[1] AS d FROM a;
-- refused: INTEGER[] has no order
SELECT k FROM a WHERE l > ARRAY[1];
-- refused: has no order
SELECT x.k FROM a AS x JOIN a AS y ON x.l >= y.l;
-- step
INSERT INTO a VALUES (1, ARRAY[1, 2]), (2, ARRAY[1]), (3, NULL), (4, ARRAY[NULL, 1]);
