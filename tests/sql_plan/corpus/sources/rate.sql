-- a source that makes its rows, and a view above it
-- alone
CREATE SOURCE numbers WITH (connector = 'rate', total = 5);
CREATE MATERIALIZED VIEW even AS SELECT "offset" AS n FROM numbers WHERE "offset" % 2 = 0;
-- step
-- rows even: [(0,), (2,), (4,)]
-- answers SELECT count(*) FROM numbers => [(5,)]
-- answers SHOW SOURCES => [('numbers', 'ended')]
SELECT 1;
-- step
-- answers SELECT * FROM added => [(10,)]
CREATE MATERIALIZED VIEW added AS SELECT sum("offset") AS s FROM numbers;
-- refused: cannot insert into what a source fills
INSERT INTO numbers VALUES (1, now());
-- refused: reads it
DROP SOURCE numbers;
-- step
-- answers SHOW SOURCES => []
-- answers SHOW MATERIALIZED VIEWS => []
DROP SOURCE numbers CASCADE;
