SELECT auction, bidder, price, dateTime, extra,
    to_char(dateTime, 'YYYY-MM-DD') AS dt, to_char(dateTime, 'HH24:MI') AS hm
FROM bid
