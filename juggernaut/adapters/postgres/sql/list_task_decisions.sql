-- $1 task: what people were asked about it, and what each of them said.
SELECT a.gate, a.shown_digest AS digest, a.risk_level, a.reason,
       a.need, a.status, a.requested_at, a.decided_at,
       coalesce((
         SELECT jsonb_agg(jsonb_build_object('by', d.decided_by, 'decision', d.decision,
                                             'note', d.note, 'at', d.decided_at) ORDER BY d.decided_at)
         FROM juggernaut.decisions AS d
         WHERE d.approval_id = a.id
       ), '[]') AS said
FROM approvals AS a
WHERE a.task_id = $1
ORDER BY a.id;
