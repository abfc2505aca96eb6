-- the first rows by an order
CREATE TABLE emp (id INT PRIMARY KEY, name TEXT, dept INT, pay NUMERIC(10, 2), age INT, hired DATE);
CREATE TABLE dept (no INT PRIMARY KEY, title TEXT, boss INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, pay FROM emp ORDER BY pay DESC NULLS LAST, id LIMIT 2;
-- step
INSERT INTO dept SELECT g, 'd' || g, g - 1 FROM generate_series(1, 4) AS t(g);
INSERT INTO emp SELECT g, 'e' || (g % 3), g % 4, g * 10.25, g % 5, DATE '2020-01-01' + (g * 40)::int FROM generate_series(1, 12) AS t(g);
-- step
DELETE FROM emp WHERE id % 3 = 0;
UPDATE emp SET dept = NULL WHERE id = 4;
-- step
UPDATE emp SET pay = NULL, name = NULL WHERE id IN (5, 7);
UPDATE dept SET boss = NULL WHERE no < 3;
-- step
DELETE FROM emp WHERE dept IS NOT NULL;
DELETE FROM dept WHERE no = 2;
