SELECT s.last_xid::text AS xid, encode(s.digest, 'hex') AS digest,
       (SELECT sum(x.rows_sealed)::bigint FROM juggernaut.seals x
         WHERE (x.epoch, x.last_xid, x.last_seq) <= (s.epoch, s.last_xid, s.last_seq)) AS count,
       s.sealed_at
  FROM juggernaut.seals s ORDER BY s.epoch DESC, s.last_xid DESC, s.last_seq DESC LIMIT 1;
