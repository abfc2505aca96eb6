-- rows from a query
CREATE TABLE emp (id INT PRIMARY KEY, name TEXT, dept INT, pay NUMERIC(10, 2), age INT, hired DATE);
CREATE TABLE dept (no INT PRIMARY KEY, title TEXT, boss INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT dept, count(*) AS c FROM emp GROUP BY dept;
-- step
INSERT INTO dept VALUES (1, 'a', NULL), (2, 'b', 1);
INSERT INTO emp (id, dept) SELECT no * 10, no FROM dept;
-- step
INSERT INTO emp (id, dept, name) SELECT id + 1, dept, 'copy' FROM emp WHERE dept = 2;
