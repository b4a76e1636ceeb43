SELECT e.seq, e.at, e.login, e.application, e.kind, e.subject,
       e.xid <= coalesce((SELECT max(s.last_xid) FROM juggernaut.seals s), '0'::xid8) AS sealed,
       e.before, e.after
  FROM juggernaut.events e
 WHERE ($2::text IS NULL OR e.subject LIKE $2::text || '%')
 ORDER BY e.seq DESC LIMIT $1::bigint;
