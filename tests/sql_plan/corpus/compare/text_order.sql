-- text compares by code point where the collation says so
-- postgres
CREATE TABLE w (id INT PRIMARY KEY, s TEXT, p TEXT);
CREATE MATERIALIZED VIEW v1 AS
SELECT id FROM w WHERE s < 'b' COLLATE "C";
-- step
-- refused: not supported
CREATE MATERIALIZED VIEW u AS SELECT s COLLATE "de_DE" AS c FROM w;
