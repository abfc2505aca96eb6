-- a line through points
-- postgres
CREATE TABLE node (id INT PRIMARY KEY, label TEXT);
CREATE TABLE edge (src INT, dst INT, cost INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT regr_slope(cost, dst) AS a, regr_intercept(cost, dst) AS b, regr_r2(cost, dst) AS c, regr_count(cost, dst) AS d FROM edge;
CREATE MATERIALIZED VIEW v2 AS
SELECT src, regr_sxx(cost, dst) AS a, regr_syy(cost, dst) AS b, regr_sxy(cost, dst) AS c, regr_avgx(cost, dst) AS d, regr_avgy(cost, dst) AS e FROM edge GROUP BY src;
-- step
INSERT INTO node VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, NULL);
INSERT INTO edge VALUES (1, 2, 5), (2, 3, 1), (1, 3, 9), (3, 3, 0), (4, NULL, NULL);
-- step
INSERT INTO edge VALUES (3, 1, 2), (2, 4, 2);
-- step
DELETE FROM edge WHERE src = 1 AND dst = 2;
UPDATE node SET label = 'z' WHERE id = 4;
-- step
DELETE FROM node WHERE id = 3;
-- step
DELETE FROM edge;
