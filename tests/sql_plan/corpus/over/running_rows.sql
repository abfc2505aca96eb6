-- running sums row by row
CREATE TABLE emp (id INT PRIMARY KEY, name TEXT, dept INT, pay NUMERIC(10, 2), age INT, hired DATE);
CREATE TABLE dept (no INT PRIMARY KEY, title TEXT, boss INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, sum(age) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS a, min(pay) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS b FROM emp;
-- step
INSERT INTO emp VALUES (1, 'x', 2, 5, 1, '2020-05-05'), (2, 'x', 2, 5, 2, '2020-05-06'), (3, 'y', 2, 7.5, 2, NULL), (4, 'y', 3, NULL, NULL, '2020-05-05');
-- step
INSERT INTO dept VALUES (2, 'two', 3), (4, 'four', 1), (5, 'x', NULL);
-- step
UPDATE dept SET no = 3, title = 'y' WHERE no = 4;
DELETE FROM emp WHERE id = 1;
-- step
UPDATE emp SET dept = dept + 1, pay = -pay;
-- step
DELETE FROM dept;
