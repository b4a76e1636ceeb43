SELECT e.seq, e.at, e.login, e.application, e.kind, e.subject,
       -- No seal looks there.
       coalesce(e.seq <= n.after_seq OR (e.xid, e.seq) <= (n.last_xid, n.last_seq), false) AND e.seq > 0 AND e.xid > '0' AS sealed,
       e.before, e.after
  FROM juggernaut.events e
  LEFT JOIN (SELECT s.after_seq, s.last_xid, s.last_seq FROM juggernaut.seals s
              ORDER BY s.epoch DESC, s.last_xid DESC, s.last_seq DESC LIMIT 1) n ON true
 WHERE ($2::text IS NULL OR e.subject LIKE $2::text || '%')
 ORDER BY e.seq DESC LIMIT $1::bigint;
