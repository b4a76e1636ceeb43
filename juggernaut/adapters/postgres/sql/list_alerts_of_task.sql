-- $1 task: what the watchdog says about it now.
SELECT id, kind, severity, title, first_seen FROM open_alerts WHERE details ->> 'task_id' = $1::text;
