-- -> and ->> by name and by number
-- postgres
CREATE TABLE j (id INT PRIMARY KEY, doc JSON);
CREATE MATERIALIZED VIEW v1 AS
SELECT id, doc -> 'a' ->> 'b' AS a, doc ->> 'a' AS b, doc ->> 0 AS c, doc -> 1 ->> 'k' AS d FROM j WHERE id <> 1;
-- step
INSERT INTO j VALUES (1, '{"a": {"b": [1, 2.50, "x"]}, "n": null, "t": true}'), (2, '[1, {"k": "v"}, null]'), (3, NULL);
-- step
INSERT INTO j VALUES (4, '{"a": "text", "u": "\u00e9\n", "k": [10, 20]}'), (5, '7');
-- step
UPDATE j SET doc = '{"a": {"b": []}, "k": [3]}' WHERE id = 1;
DELETE FROM j WHERE id = 5;
-- step
DELETE FROM j WHERE id < 4;
