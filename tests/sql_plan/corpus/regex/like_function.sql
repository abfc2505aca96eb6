-- regexp_like with flags
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, s TEXT, p TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, regexp_like(s, 'abc') AS a, regexp_like(s, 'abc', 'i') AS b FROM w;
-- step
INSERT INTO w VALUES (1, 'Hello World', 'o'), (2, '', ''), (3, NULL, 'x'), (4, 'äöü ß', NULL);
-- step
INSERT INTO w VALUES (5, '  a_b%c  ', '%'), (6, 'aXbXc', 'X'), (7, '2020-10-11', '-');
UPDATE w SET s = s || '!' WHERE id < 3;
-- step
DELETE FROM w WHERE s IS NULL OR p IS NULL;
-- step
UPDATE w SET s = NULL, p = 'a' WHERE id = 5;
DELETE FROM w WHERE id > 5;
