SELECT id, kind, severity, title, details, first_seen, last_seen, times
FROM open_alerts
ORDER BY last_seen DESC
LIMIT $1;
