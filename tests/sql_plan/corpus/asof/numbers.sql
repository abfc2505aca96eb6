-- numbers in place of times, without a key
CREATE TABLE a (x INT);
CREATE TABLE b (y INT, name TEXT);
CREATE MATERIALIZED VIEW v AS SELECT a.x, b.name FROM a ASOF JOIN b ON a.x >= b.y;
-- step
INSERT INTO a VALUES (1), (5), (10), (NULL);
INSERT INTO b VALUES (2, 'two'), (6, 'six');
-- step
DELETE FROM b WHERE y = 2;
INSERT INTO b VALUES (0, 'none'), (10, 'ten');
