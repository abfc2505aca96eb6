-- mistakes of people who know PostgreSQL: the error says where and what is meant
CREATE TABLE orders (id INT PRIMARY KEY, customer TEXT, total NUMERIC(10, 2), placed TIMESTAMP);
-- refused: did you mean length?
SELECT lenght(customer) FROM orders;
-- refused: did you mean date_trunc?
SELECT date_trun('day', placed) FROM orders;
-- refused: conditions on groups stand in HAVING
SELECT id FROM orders WHERE sum(total) > 3;
-- refused: ranks need OVER
SELECT rank() FROM orders;
-- refused: texts stand in single quotes
SELECT id FROM orders WHERE customer = "x";
-- refused: 'abc' is no NUMERIC(10, 2)
SELECT id FROM orders WHERE total = 'abc';
-- refused: '2020-13-01' is no TIMESTAMP
SELECT id FROM orders WHERE placed > '2020-13-01';
-- refused: || joins texts
SELECT customer + 'x' FROM orders;
-- refused: did you mean uuid?
SELECT customer::uuidd FROM orders;
-- refused: an instant is needed, not TEXT
SELECT extract(year FROM customer) FROM orders;
-- refused: An expression is missing
SELECT count(DISTINCT) FROM orders;
-- refused: column 'id': 'x' is not a INTEGER
INSERT INTO orders VALUES ('x', 'y');
