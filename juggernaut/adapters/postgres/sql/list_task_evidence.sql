-- $1 task: all that was recorded as evidence, also of attempts that did not last.
SELECT fence, kind, source, recorded_at, facts
FROM juggernaut.evidence
WHERE task_id = $1
ORDER BY id;
