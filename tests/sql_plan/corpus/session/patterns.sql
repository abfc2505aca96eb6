-- names that Polars reads as patterns of names are refused
-- alone
CREATE TABLE t (a INT);
-- refused: is reserved
CREATE TABLE u ("*" INT);
-- refused: is reserved
CREATE TABLE u ("^a.*$" INT);
-- refused: is reserved
CREATE VIEW v AS SELECT a AS "*" FROM t;
-- refused: is reserved
CREATE TABLE u ("_weight" INT);
