-- What the watchdog's duties left behind: alerts, resolved or not, and the sealed audit chain.
SELECT 'alert ' || a.kind AS what,
       jsonb_build_object('title', juggernaut.shown(a.title), 'times', a.times,
                          'open_for_seconds', round(extract(epoch FROM coalesce(a.resolved_at, clock_timestamp())
                                                                       - a.first_seen), 1),
                          'resolved', a.resolved_at IS NOT NULL) AS facts
FROM alerts AS a
UNION ALL
SELECT 'audit chain', jsonb_build_object('events', sum(s.rows_sealed), 'seals', count(*))
FROM juggernaut.seals AS s
HAVING count(*) > 0;
