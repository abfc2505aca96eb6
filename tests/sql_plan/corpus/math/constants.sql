-- queries without FROM as views
CREATE MATERIALIZED VIEW v AS SELECT 1 + 1 AS a, 2.5 * 2 AS b, 'x' || 1 AS c, NULL AS d, TRUE AS e;
-- step
SELECT 1;
-- rows v: [(2, 5.0, 'x1', None, True)]
