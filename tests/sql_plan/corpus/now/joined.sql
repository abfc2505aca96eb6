-- conditions on the clock beside joins, groups and queries
CREATE TABLE a (k INT, ts TIMESTAMP);
CREATE TABLE b (k INT, till TIMESTAMP, v INT);
CREATE MATERIALIZED VIEW v1 AS SELECT a.k, b.v FROM a JOIN b ON a.k = b.k AND a.ts <= now() WHERE b.till > now();
CREATE MATERIALIZED VIEW v2 AS SELECT a.k, b.v FROM a LEFT JOIN b ON a.k = b.k AND b.till > now();
CREATE MATERIALIZED VIEW v3 AS SELECT k, max(ts) AS m FROM a GROUP BY k HAVING max(ts) > now();
CREATE MATERIALIZED VIEW v4 AS SELECT k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.till > now());
CREATE MATERIALIZED VIEW v5 AS SELECT sum(v) AS s FROM (SELECT v FROM b WHERE till > now() UNION ALL SELECT k FROM a WHERE ts <= now()) AS u;
CREATE MATERIALIZED VIEW v6 AS SELECT a.k, b.v FROM a, b WHERE a.ts + (b.till - b.till) <= now();
-- step
INSERT INTO a VALUES (1, '2000-01-01'), (2, '2200-01-01'), (3, NULL);
INSERT INTO b VALUES (1, '2000-01-01', 10), (1, '2200-01-01', 11), (2, '2200-01-01', 20), (3, '2200-01-01', 30);
-- step
UPDATE a SET ts = TIMESTAMP '2000-01-01' WHERE k = 2;
UPDATE b SET till = TIMESTAMP '2000-01-01' WHERE v = 11;
-- step
DELETE FROM b WHERE k = 2;
DELETE FROM a WHERE k = 1;
