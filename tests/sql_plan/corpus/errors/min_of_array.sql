-- arrays have no smallest one; numbers with a name close behind
CREATE TABLE a (k INT);
CREATE MATERIALIZED VIEW v1 AS SELECT k, 1.5 x, 2e3 AS y FROM a;
-- refused: INTEGER[] has no order
SELECT min(ARRAY[k]) FROM a;
-- step
INSERT INTO a VALUES (1);
