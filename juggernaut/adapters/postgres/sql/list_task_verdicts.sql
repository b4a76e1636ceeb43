-- $1 task: each criterion with its newest verdict; one that nobody judged yet has none.
SELECT c.number, c.text, c.check_argv AS check, v.verdict, v.source, v.fence, v.facts,
       c.accepted_by, c.accepted_note
FROM juggernaut.criteria AS c
LEFT JOIN LATERAL (
  SELECT x.verdict, x.source, x.fence, x.facts
  FROM juggernaut.verdicts AS x
  WHERE x.task_id = c.task_id AND x.number = c.number
  ORDER BY x.fence DESC
  LIMIT 1
) AS v ON true
WHERE c.task_id = $1
ORDER BY c.number;
