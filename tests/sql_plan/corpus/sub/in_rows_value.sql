-- rows beside IN as a value, and NOT IN: unknown where only nulls make a difference
-- postgres
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, w INT);
CREATE MATERIALIZED VIEW v1 AS SELECT k, v, (k, v) IN (SELECT k, w FROM b) AS found FROM a;
CREATE MATERIALIZED VIEW v2 AS SELECT k, v FROM a WHERE (k, v) NOT IN (SELECT k, w FROM b);
CREATE MATERIALIZED VIEW v3 AS SELECT k, v, (k, v) IN (SELECT b.k, b.w FROM b WHERE b.w > a.v - 5) AS found FROM a;
CREATE MATERIALIZED VIEW v4 AS SELECT k, v, CASE WHEN (k, v) = ANY (SELECT k, w FROM b) THEN 1 ELSE 0 END AS found FROM a;
CREATE MATERIALIZED VIEW v5 AS SELECT s, (1, 10) IN (SELECT k, w FROM b) OR s IS NULL AS found FROM a;
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
