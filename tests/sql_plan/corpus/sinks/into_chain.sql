-- a sink into a table whose changes fill another one
-- alone
CREATE TABLE a (k INT PRIMARY KEY, v INT);
CREATE TABLE b (k INT PRIMARY KEY, v INT);
CREATE TABLE c (k INT PRIMARY KEY, v INT);
CREATE SINK ab INTO b AS SELECT k, v + 1 AS v FROM a WHERE v > 0;
CREATE SINK bc INTO c AS SELECT k, v * 10 AS v FROM b;
-- step
-- answers SELECT * FROM c => [(1, 20)]
INSERT INTO a VALUES (1, 1), (2, 0);
-- step
-- answers SELECT * FROM c => [(1, 20), (2, 60)]
UPDATE a SET v = 5 WHERE k = 2;
-- step
-- answers SELECT * FROM c => []
TRUNCATE a;
