-- GROUP BY a name of the select list
CREATE TABLE emp (id INT PRIMARY KEY, name TEXT, dept INT, pay NUMERIC(10, 2), age INT, hired DATE);
CREATE TABLE dept (no INT PRIMARY KEY, title TEXT, boss INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT extract(year FROM hired) AS y, count(*) AS c FROM emp GROUP BY y;
-- step
INSERT INTO dept VALUES (1, 'sales', 2), (2, 'lab', NULL), (3, NULL, 1);
INSERT INTO emp VALUES (1, 'Ann', 1, 100.50, 30, '2020-01-31'), (2, 'Bob', 1, 80, NULL, '2021-02-28'), (3, NULL, 2, NULL, 41, NULL);
-- step
INSERT INTO emp VALUES (4, 'Cid', NULL, 75.25, 30, '2020-01-31'), (5, 'Dee', 9, 0, 19, '2024-02-29');
UPDATE emp SET dept = 2, pay = pay + 1.5 WHERE id = 2;
-- step
DELETE FROM dept WHERE no = 1;
UPDATE emp SET name = 'Eve', age = NULL WHERE id = 3;
-- step
DELETE FROM emp;
-- step
INSERT INTO emp VALUES (6, 'Fay', 2, 12.34, 77, '1999-12-31');
