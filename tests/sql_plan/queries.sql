select k, sum(v) s, count(*) n from a group by k
select * from a where v > 6 and s is not null
select a.k, w from a join b on a.k=b.k
select a.k, w from a left join b on a.k=b.k
select a.k, w from a left join b on a.k=b.k and a.v > b.w * 5
select a.k, b.k as bk, w from a right join b on a.k=b.k
select a.k, b.k as bk, w from a full join b on a.k=b.k and w > 2
select a.k, w from a, b where a.k=b.k and w < 3
select a.k, b.k from a cross join b
select a.k x, b.k y from a join b on a.k is not distinct from b.k
select k from a union select k from b
select k from a union all select k from b
select k from a intersect select k from b
select k from a intersect all select k from b
select k from a except select k from b
select k from a except all select k from b
select distinct s from a
select s, v from a where k in (select k from b)
select s, v from a where k not in (select k from b)
select s, v from a where k not in (select k from b where k > 100)
select s, v from a where v not in (select v from a where k = 1)
select s, v from a where exists (select 1 from b where b.k=a.k and w>2)
select s, v from a where not exists (select 1 from b where b.k=a.k)
select s, (select max(w) from b where b.k=a.k) m, (select count(*) from b where b.k=a.k) c from a
select k, v from a order by v desc nulls last, k limit 2
select k, v, row_number() over (partition by k order by v) rn from a
select k, v, sum(v) over (order by v) rs from a where v is not null
select s, k in (select k from b) x from a
with t as (select k, avg(v) m from a group by k) select t.k, m, w from t join b using (k)
select k, s, sum(v) from a group by rollup(k, s)
select k, count(*) from a group by cube(k,s)
select k, s, sum(v), grouping(k) from a group by grouping sets ((k),(s),())
select count(distinct s), max(v), min(s) from a where v > 100
select sum(v), avg(v), count(v) from a where k > 100
select k, count(*) filter (where v > 6) from a group by 1 having count(*) > 1
select a1.k, a2.k from a a1 join a a2 on a1.v < a2.v
select x, y from (values (1,'a'),(2,'b')) t(x,y)
select g*2 as q from generate_series(1,3) t(g)
select * from a natural join b
select v from a where v > (select avg(v) from a)
select k, q.m from a, lateral (select max(w) m from b where b.k >= a.k) q
select s, rank() over (order by k desc), lag(v) over (order by v, s, k), lag(v,1,0) over (order by v desc, s, k) from a
select s, dense_rank() over (order by k), ntile(2) over (order by v, s, k), lead(v) over (order by v, s, k) from a
select s, first_value(v) over (partition by k order by v, s), last_value(v) over (partition by k order by v) from a
select 1+1, 'a' || 'b'
select case when v > 6 then 'hi' else 'lo' end c, count(*) from a group by 1 order by 2 desc
select s from a where k = 1 or k in (select k from b where w > 3)
select string_agg(s, ',' order by s) from a
select k, sum(v) over (partition by k) t, avg(v) over (order by v, k rows 1 preceding) m from a
select k, sum(sum(v)) over (order by k) from a group by k
select distinct on (k) k, v from a order by k, v desc
select k, v from a order by v, k limit 2 offset 1
select a.s from a where a.v = (select max(v) from a a2 where a2.k = a.k)
select k, count(*) from (select k from a where v is not null) t group by k order by 1
select s, max(v) - min(v) d from a group by s having max(v) > (select avg(v) from a)
select date '2020-01-31' + interval '1 month' x, extract(year from date '2020-01-31') y
select s from a where v between 6 and 12 or s like 'z%'
select t.x from a, unnest(array[k, v]) as t(x)
select k, array_agg(v order by v) from a where v is not null group by k
select avg(v), stddev(v), var_pop(v), bool_and(v>3), bool_or(v>15) from a
select percentile_cont(0.5) within group (order by v) from a
select percentile_disc(0.5) within group (order by v) from a
select k from a where (k, v) in (select k, 10 from b)
select s, coalesce(v, 0) + 1 from a order by 2
select upper(s) || '!' from a where not (v > 6)
select b.k, (select count(*) from a where a.k=b.k and a.v > (select min(v) from a a3 where a3.k = b.k)) from b
select k, case when exists (select 1 from b where b.k=a.k) then 1 else 0 end from a
select count(*) from a where v > all (select v from a where k=3)
select s, v > all (select w from b where b.k=a.k) x, v <= any (select 10) y, v <> all (select v from a where k=1) z, v > all (select v from a) q from a
select count(*) from a where v = any (select v from a where k=3)
select * from (select *, row_number() over (partition by k order by v desc, s) rn from a) where rn <= 1
select k from a where false
select (array[10,20,30])[2] x, array_length(array[1,2],1) y, array[1,2]||array[3] z
select s from a where s not like 'x%' and s not ilike 'Y'
select nullif(k, 1), greatest(k, 2), least(k, v), abs(-v) from a
select substring(s from 1 for 1), length(s), position('x' in s), replace(s, 'x', 'yy'), trim('  ' || s || ' ') from a
select k % 2, -k % 2, (k * 7) % 4 from a where k is not null
select round(w::numeric(10, 2), 0), floor(w), ceil(w), sqrt(w) from b
select date_trunc('month', date '2021-05-17'), extract(dow from date '2021-05-17')
select s is null, s is not null, (v > 6) is true, (v > 6) is not true from a
select count(*), count(v), count(distinct k), sum(distinct k) from a
select k, min(s), max(s), any_value(k) from a group by k having k is not null
select t.k, t.n from (select k, count(*) n from a group by k) t join (select k, count(*) m from b group by k) u on t.k = u.k and t.n = u.m
select a.k, (select max(v) from (select v from a a2 where a2.k = a.k) q) from a
select k from a group by k having count(*) = (select max(n) from (select count(*) n from a group by k) t)
select x.k, sum(y.w) from (select distinct k from a) x left join b y on x.k = y.k group by x.k
select cast(v as varchar) || s, cast('12' as integer) + 1, '1.5'::double from a
select bit_and(k), bit_or(k) from a
select arg_max(v, v), arg_min(v, v) from a
select a.k from a where a.k in (select b.k from b where b.w > (select min(v) / 10 from a a4 where a4.k = b.k))
select s, v = all (select v from a where k = 1) x, v <> any (select v from a where k = 1) y, v = all (select v from a where k = 99) z, v <> any (select w from b) q from a
select s, k = all (select b.k from b where b.k >= a.k) x, k <> any (select b.k from b where b.k >= a.k) y from a
select a.k, true in (select w > 3 from b) x, null in (select k from b) y, 1 in (select k from b where false) z from a
select a.k, b.w from a left join b on null
select a.k, b.w from a full join b on false
select count(1), sum(1), max('x'), min(1) filter (where false) from a
select k, count(1), sum(2), count(*) filter (where true) from a group by k
select s, lag(1) over (order by s) x, max(2) over (partition by k) y, sum(1) over (order by v, s) z from a
select k from a limit 0
select s, (select b.w from b where b.k = a.k order by 1 limit 0) from a
select a.k, b.k as bk from a join b on a.k = b.k and a.k = b.w
select a.k from a where exists (select 1 from b where b.k = a.k and a.v > all (select w from b c where c.k = b.k))
select a.k, (select count(*) from a x right join b on x.k = b.k and x.v > a.v) c from a
select a.k, (select count(x.v) * 100 + count(b.w) from a x full join b on x.k = b.k and b.k > a.k) c from a
select k, (select count(*) from b where b.k = a.k) c from a group by k
select k, max(v) from a group by k having exists (select 1 from b where b.k = a.k)
select k, sum((select count(*) from b where b.k = a.k)) c, count(*) filter (where s in (select s from a where k = 1)) n from a group by k
select (select count(*) from b where b.k = a.k) c, count(*) from a group by 1
select s, sum(v) over (partition by (select count(*) from b where b.k = a.k)) x from a
select arg_max(s, v) filter (where k = 1), percentile_disc(0.5) within group (order by v desc) from a
select 1 from a having true
select v not in (1, 2), (1.5 in (1, 2)) x from a
select true in (true, false) x, k from a
select exists (select 1 from b where false) x, exists (select 1 from b) y from a
select a.k from a join b on a.k = b.k and exists (select 1 from b c where c.w > b.w) right join b d on d.k = a.k
select a.k, b.k as bk, c.w from a, b right join b c on false
select a.k, b.k as bk, c.w from a, b full join b c on b.k = c.w
select a.k, b.k as bk, c.w from a, b left join b c on b.k = c.k where a.k = b.k
select a.k, b.k as bk, c.k as ck, d.w from a join b on a.k = b.k, b c right join b d on c.k = d.w
select a.k, (select count(*) from b, b c right join b d on c.k = d.w where d.k = a.k) n from a
select a.k, x.w, c.k as ck from a, lateral (select w from b where b.k = a.k) x left join b c on c.w = x.w
select a.k, b.w, c.w as cw from a join (b join b c on b.k = c.k) on a.k = b.k
select a.k, b.w, c.w as cw from a left join (b cross join b c) on a.k = b.k and c.w > 2
select * from (a join b on a.k = b.k)
select * from ((a) left join (b) on a.k = b.k)
select x.k from (a) x
select t.w from (select * from b) t join (a left join (b join b c on c.k = b.k) on a.k = b.k) on t.k = a.k
select a.k, (select count(*) from (b join b c on b.w <= c.w) where b.k = a.k) n from a
select max(v::numeric(10, 2) / 4) over (order by v, s, k rows 2 preceding) x from a
select max(v::numeric(10, 2)) over (order by v, s, k rows 2 preceding) x, min(-v::numeric(10, 1)) over (order by v, s, k rows 1 preceding) y, sum(v::numeric(10, 2)) over (partition by k order by v, s rows 1 preceding) z from a
select sum(v * 300000000) over (order by v, s, k rows 2 preceding) x from a
