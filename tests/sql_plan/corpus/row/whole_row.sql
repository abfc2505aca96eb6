-- a table in place of a column is its row
-- postgres
CREATE TABLE a (k INT, s TEXT);
CREATE TABLE b (b INT, k INT);
CREATE MATERIALIZED VIEW v1 AS SELECT a.k, row_to_json(a)::text AS j, (a).s AS s, to_jsonb(x) ->> 'k' AS k2 FROM a, LATERAL (SELECT a.k) AS x;
CREATE MATERIALIZED VIEW v2 AS SELECT count(a) AS n, count(DISTINCT a) AS d FROM a;
CREATE MATERIALIZED VIEW v3 AS SELECT b FROM b;
-- step
INSERT INTO a VALUES (1, 'x'), (1, 'x'), (2, NULL);
INSERT INTO b VALUES (7, 8);
-- step
DELETE FROM a WHERE k = 1;
