-- a date that is put together, as a key of a join
CREATE TABLE a (k INT, v INT, s TEXT);
CREATE TABLE b (k INT, d DATE);
CREATE MATERIALIZED VIEW v1 AS SELECT a.k, b.d FROM a JOIN b ON make_date(2020, 2, 1 + a.k) = b.d;
CREATE MATERIALIZED VIEW v2 AS SELECT a.k, b.k AS bk FROM a LEFT JOIN b ON make_date(2020, 2, 1 + a.k) = b.d AND a.k = b.k;
CREATE MATERIALIZED VIEW v3 AS SELECT k FROM a WHERE make_date(2020, 2, 1 + k) NOT IN (SELECT d FROM b WHERE b.k = a.k);
-- step
INSERT INTO a VALUES (1, 10, 'x'), (2, 20, 'y'), (3, 5, 'z');
-- step
INSERT INTO b VALUES (1, '2020-02-02'), (2, '2020-02-02'), (3, NULL);
-- step
DELETE FROM b WHERE k = 1;
