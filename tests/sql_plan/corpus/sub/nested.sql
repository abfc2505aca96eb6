-- a query in a query in a query
CREATE TABLE node (id INT PRIMARY KEY, label TEXT);
CREATE TABLE edge (src INT, dst INT, cost INT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id FROM node AS n WHERE id IN (SELECT src FROM edge AS e WHERE cost = (SELECT max(cost) FROM edge AS f WHERE f.src = e.src));
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
