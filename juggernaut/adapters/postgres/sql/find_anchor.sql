SELECT s.last_xid::text AS xid
  FROM juggernaut.seals s
 WHERE s.last_xid = $1::text::xid8 AND s.digest = decode($2::text, 'hex')
   AND (SELECT sum(x.rows_sealed)::bigint FROM juggernaut.seals x
         WHERE (x.epoch, x.last_xid, x.last_seq) <= (s.epoch, s.last_xid, s.last_seq)) = $3::bigint;
