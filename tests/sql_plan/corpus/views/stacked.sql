-- views over views
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w DOUBLE PRECISION);
CREATE MATERIALIZED VIEW one AS SELECT k, sum(v) AS s FROM a GROUP BY k;
CREATE MATERIALIZED VIEW two AS SELECT one.k, s, w FROM one LEFT JOIN b ON one.k = b.k;
CREATE MATERIALIZED VIEW three AS SELECT max(s) AS m, count(w) AS c FROM two;
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
