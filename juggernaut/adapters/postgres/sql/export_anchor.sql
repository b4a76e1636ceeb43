SELECT s.last_xid::text AS xid, encode(s.digest, 'hex') AS digest,
       (SELECT sum(x.rows_sealed)::bigint FROM juggernaut.seals x WHERE x.last_xid <= s.last_xid) AS count,
       s.sealed_at
  FROM juggernaut.seals s ORDER BY s.last_xid DESC LIMIT 1;
