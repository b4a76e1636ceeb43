-- The demo shows in seconds what takes minutes in earnest. How long a decision counts stays as it is.
UPDATE juggernaut.thresholds AS t
SET value = quick.value
FROM (VALUES ('sweep_seconds', 0.5), ('detect_seconds', 0.5), ('goals_seconds', 0.3),
             ('poll_seconds', 1), ('heartbeat_seconds', 1)) AS quick (name, value)
WHERE t.name = quick.name;
