-- a clock that moves can only be compared with
CREATE TABLE t (k INT, ts TIMESTAMP);
-- refused: kept up to date moves
CREATE MATERIALIZED VIEW v AS SELECT now() FROM t;
-- refused: kept up to date moves
CREATE MATERIALIZED VIEW v AS SELECT k, count(*) FROM t GROUP BY k, CURRENT_DATE;
-- refused: is one comparison
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE ts > now() OR k = 1;
-- refused: is one comparison
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE ts <> now();
-- refused: months have no fixed length
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE ts > now() - INTERVAL '1 month';
-- refused: compared with a time
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE k > now();
-- refused: cannot be computed from a clock
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE extract(hour FROM now()) = k;
-- refused: on both sides
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE ts - now() > now() - ts;
-- refused: cannot be computed from a clock
CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE CURRENT_TIME > ts;
