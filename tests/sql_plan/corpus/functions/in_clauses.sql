-- a function of ours in every clause
-- alone
CREATE FUNCTION odd(n INT) RETURNS BOOLEAN LANGUAGE python AS $$
def odd(n):
    return n is not None and n % 2 == 1
$$;
CREATE TABLE t (n INT, m INT);
CREATE MATERIALIZED VIEW grouped AS SELECT odd(n) AS o, count(*) AS c FROM t GROUP BY odd(n) HAVING bool_or(odd(m));
CREATE MATERIALIZED VIEW joined AS SELECT a.n AS a, b.n AS b FROM t a JOIN t b ON odd(a.n) = odd(b.m);
CREATE MATERIALIZED VIEW filtered AS SELECT n FROM t WHERE odd(n) AND NOT odd(m);
-- step
-- rows grouped: [(True, 2)]
-- rows joined: [(1, 1), (3, 1)]
-- rows filtered: [(3,)]
INSERT INTO t VALUES (1, 1), (3, 2);
DELETE FROM t WHERE n = 1;
INSERT INTO t VALUES (1, 1);
