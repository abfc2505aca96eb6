-- odd names: quotes, case, reserved words, letters of others
CREATE TABLE "order" ("select" INT, "a b" TEXT, "ÄÖ" INT, "x""y" INT, "1" INT, "a.b" INT);
CREATE MATERIALIZED VIEW v AS SELECT "select" AS "from", "a b", "ÄÖ" + 1 AS "ß", "x""y" AS "q""""r", "1", "a.b" FROM "order" WHERE "select" > 0;
CREATE MATERIALIZED VIEW w AS SELECT "from" AS "group", count(*) AS "count" FROM v GROUP BY "from";
-- step
INSERT INTO "order" ("select", "x""y", "ÄÖ", "a b", "1", "a.b") VALUES (1, 2, 3, 'it''s "quoted"', 4, 5), (0, 0, 0, '', 0, 0);
-- step
UPDATE "order" SET "x""y" = "x""y" + 1, "select" = 2 WHERE "a b" LIKE '%"%';
-- step
DELETE FROM "order" AS "o 1" WHERE "o 1"."1" = 0;
