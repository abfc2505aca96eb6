-- aggregates of pairs over constants count every row
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT k, regr_count(1, 2) AS a1, covar_pop(1, 2) AS a2, regr_avgx(1, 2) AS a3, string_agg('x', '-') AS a4, count(DISTINCT 1) AS a5, median(1) AS a6 FROM a GROUP BY k;
CREATE MATERIALIZED VIEW v2 AS SELECT regr_count(1, v) AS a1 FROM a;
-- step
INSERT INTO a VALUES (1, 10, 'x'), (2, 20, 'y'), (2, 21, NULL), (NULL, 5, 'z'), (4, NULL, 'x');
-- step
INSERT INTO b VALUES (2, 20), (2, NULL), (NULL, 5), (3, 30);
-- step
UPDATE b SET w = 10, k = 1 WHERE k = 3;
DELETE FROM a WHERE s = 'y';
-- step
DELETE FROM b WHERE w IS NULL;
-- step
DELETE FROM b;
