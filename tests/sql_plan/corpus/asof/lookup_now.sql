-- what a table holds when a row comes
-- waits
CREATE TABLE bid (k INT, n INT) APPEND ONLY;
CREATE TABLE side (k INT PRIMARY KEY, name TEXT);
CREATE MATERIALIZED VIEW v AS
SELECT b.n, s.name FROM bid b JOIN side FOR SYSTEM_TIME AS OF PROCTIME() AS s ON s.k = b.k;
CREATE MATERIALIZED VIEW w AS
SELECT b.n, s.name FROM (SELECT *, PROCTIME() AS at FROM bid) b
LEFT JOIN side FOR SYSTEM_TIME AS OF b.at AS s ON s.k = b.k;
-- oracle v: SELECT b.n, s.name FROM bid b JOIN side s ON s.k = b.k
-- oracle w: SELECT b.n, s.name FROM bid b LEFT JOIN side s ON s.k = b.k
-- step
INSERT INTO side VALUES (1, 'one'), (2, 'two');
INSERT INTO bid VALUES (1, 1), (3, 2), (NULL, 3);
-- step
INSERT INTO bid VALUES (2, 4), (1, 5);
