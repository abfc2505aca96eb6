-- JSON arrays of a group
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW v1 AS
SELECT k, json_agg(v ORDER BY v)::text AS a, json_agg(s ORDER BY s)::text AS b FROM a GROUP BY k;
-- step
INSERT INTO b VALUES (1, 1), (1, 1), (2, 2), (NULL, NULL);
-- step
INSERT INTO a VALUES (1, 1, 'a'), (1, 1, 'a'), (2, 1, 'b'), (NULL, NULL, NULL), (NULL, 3, 'a');
-- step
UPDATE b SET k = 2 WHERE k IS NULL;
DELETE FROM a WHERE v IS NULL;
-- step
DELETE FROM b;
-- step
INSERT INTO b VALUES (2, 0.5);
INSERT INTO a VALUES (2, 2, 'c');
