-- constants out of range are refused when the statement is given
CREATE TABLE o (a INT);
-- refused: integer out of range at line 1, column 8
SELECT 2147483647 + 1 FROM o;
-- refused: bigint out of range
SELECT 9223372036854775807 * 2 FROM o;
-- refused: integer out of range
SELECT -2147483647 - 2 FROM o;
