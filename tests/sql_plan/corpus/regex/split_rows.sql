-- splitting at matches into rows
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, s TEXT, p TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, part FROM w, regexp_split_to_table(s, '[^a-z0-9]+') AS part;
-- step
INSERT INTO w VALUES (1, 'foo123bar45', '[0-9]+'), (2, 'abc', 'b'), (3, 'ABC abc', 'abc');
-- step
UPDATE w SET s = upper(s), p = NULL WHERE id = 1;
INSERT INTO w VALUES (4, NULL, NULL), (5, 'a.b.c', '.'), (6, 'tab	here', ' ');
-- step
DELETE FROM w WHERE id IN (2, 3);
-- step
TRUNCATE w;
-- step
INSERT INTO w VALUES (9, 'one, two, three', ', ');
