-- What people look at. why() is the one place that says why a task does not move, who has the
-- next step and until when.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.why_row(t public.governance_tasks) RETURNS TABLE (reason text, owner text, deadline timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
BEGIN
  IF t.status IN ('completed', 'failed', 'rejected', 'cancelled') THEN
    RETURN QUERY SELECT t.status || coalesce(': ' || t.error_message, ''), 'nobody'::text, NULL::timestamptz;
  ELSIF t.status = 'waiting_approval' THEN
    SELECT * INTO a FROM public.approvals x WHERE x.task_id = t.id AND x.status = 'pending';
    RETURN QUERY SELECT format('waits for %s approval(s) of its %s, digest %s: %s', a.need, a.gate, left(a.digest, 12), a.reason),
      'an approver'::text, a.requested_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'blocked' THEN
    RETURN QUERY SELECT t.blocked_reason, t.blocked_owner, t.blocked_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'waiting' THEN
    RETURN QUERY SELECT 'needs ' || string_agg(format('%s "%s" (%s)', n.id, left(n.title, 60), n.status), ', ' ORDER BY n.created_at, n.id),
      'the tasks it needs'::text, t.deadline
      FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id WHERE d.task_id = t.id AND NOT d.met;
  ELSIF t.status = 'in_progress' THEN
    RETURN QUERY SELECT format('in progress with %s since %s', t.assigned_worker, to_char(t.started_at, 'HH24:MI:SS')), t.assigned_worker, t.lease_until;
  ELSIF t.status = 'awaiting_merge' THEN
    RETURN QUERY SELECT 'a merge was reported; the forge has not confirmed it', 'a person: look at the pull request'::text,
      t.started_at + juggernaut.seconds('approval_seconds');
  ELSIF EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id)) THEN
    RETURN QUERY SELECT format('paused (%s) by %s: %s', c.scope, c.paused_by, c.reason), 'a person: resume_swarm'::text, NULL::timestamptz
      FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id) LIMIT 1;
  ELSIF t.due_at > clock_timestamp() THEN
    RETURN QUERY SELECT format('not before %s (attempt %s of %s%s)', to_char(t.due_at, 'HH24:MI:SS'), t.attempts + 1, t.max_attempts,
      coalesce(', after: ' || left(t.error_message, 200), '')), 'the swarm'::text, t.due_at;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.task_type = t.task_type) THEN
    RETURN QUERY SELECT format('no role is granted task type %s', t.task_type), 'an operator: grant_capability'::text, NULL::timestamptz;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)) THEN
    RETURN QUERY SELECT format('no live worker%s is granted task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one'::text, NULL::timestamptz;
  ELSIF t.concurrency_key IS NOT NULL AND EXISTS (
      SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL) THEN
    RETURN QUERY SELECT format('another task with concurrency_key %s is in progress', t.concurrency_key), 'that task'::text, NULL::timestamptz;
  ELSE
    RETURN QUERY SELECT 'ready: waits for a free worker', 'the swarm'::text, t.deadline;
  END IF;
END
$$;

CREATE FUNCTION public.why(id uuid) RETURNS TABLE (reason text, owner text, deadline timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT w.reason, w.owner, w.deadline FROM public.governance_tasks t CROSS JOIN LATERAL juggernaut.why_row(t) w WHERE t.id = why.id $$;

CREATE FUNCTION juggernaut.task_cost(p_task uuid) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT coalesce(sum(coalesce(c.cost_usd, c.reserved_usd)), 0) FROM juggernaut.model_calls c WHERE c.task_id = p_task $$;

-- Text from outside, so that a terminal shows it and does not obey it.
CREATE FUNCTION juggernaut.shown(p text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$ SELECT regexp_replace(p, U&'[\0001-\0008\000B\000C\000E-\001F\007F-\009F\061C\200B-\200F\202A-\202E\2060-\2069\FEFF]', U&'\FFFD', 'g') $$;

CREATE VIEW public.pending_approvals AS
  SELECT a.task_id, juggernaut.shown(t.title) AS title, t.task_type, a.risk_level, a.gate, juggernaut.shown(a.reason) AS reason,
         a.factors AS risk_factors, juggernaut.shown(coalesce(a.body ->> 'diff', jsonb_pretty(a.body))) AS plan, a.digest,
         a.requested_by AS proposed_by, juggernaut.task_cost(a.task_id) AS cost_usd, a.requested_at AS waiting_since,
         (SELECT count(*) FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved') AS have, a.need,
         format('UPDATE governance_tasks SET status = ''pending'', approved_by = ''your name'' WHERE id = %L', a.task_id) AS approve_sql,
         format('SELECT reject_task(%L, ''why not'')', a.task_id) AS reject_sql
    FROM public.approvals a JOIN public.governance_tasks t ON t.id = a.task_id
   WHERE a.status = 'pending' ORDER BY a.requested_at;

CREATE VIEW public.task_board AS
  SELECT t.id, juggernaut.shown(t.title) AS title, t.task_type, t.priority, t.status, t.risk_level, t.assigned_worker AS worker,
         t.attempts, t.max_attempts, t.goal_id, juggernaut.shown(g.title) AS goal, t.created_at, t.started_at, t.completed_at,
         juggernaut.shown(CASE WHEN t.status IN ('completed') THEN NULL ELSE (SELECT w.reason FROM juggernaut.why_row(t) w LIMIT 1) END) AS reason
    FROM public.governance_tasks t LEFT JOIN public.goals g ON g.id = t.goal_id
   ORDER BY t.created_at DESC;

CREATE VIEW public.worker_board AS
  SELECT w.worker_id, w.worker_type, w.status, coalesce(s.closed_at IS NULL AND s.expires_at > clock_timestamp(), false) AS alive,
         w.current_task_id, juggernaut.shown(t.title) AS current_task, coalesce(s.beat_at, w.last_heartbeat) AS last_heartbeat,
         round(extract(epoch FROM clock_timestamp() - coalesce(s.beat_at, w.last_heartbeat)))::integer AS seconds_since,
         w.version, w.host, w.pid
    FROM public.worker_registry w
    LEFT JOIN juggernaut.sessions s ON s.id = w.instance_id
    LEFT JOIN public.governance_tasks t ON t.id = w.current_task_id
   ORDER BY w.worker_type, w.worker_id;

CREATE VIEW public.why_idle AS
  SELECT t.id AS task_id, juggernaut.shown(t.title) AS title, t.status, juggernaut.shown(w.reason) AS reason, w.owner, w.deadline
    FROM public.governance_tasks t CROSS JOIN LATERAL juggernaut.why_row(t) w
   WHERE t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled', 'in_progress')
   ORDER BY t.created_at;

CREATE VIEW public.goal_progress AS
  SELECT g.id AS goal_id, juggernaut.shown(g.title) AS title, g.status, n.tasks, n.completed, n.failed, n.open,
         CASE WHEN n.tasks = 0 THEN 0 ELSE round(100.0 * n.completed / n.tasks)::integer END AS percent,
         (SELECT coalesce(sum(coalesce(c.cost_usd, c.reserved_usd)), 0) FROM juggernaut.model_calls c WHERE c.goal_id = g.id) AS cost_usd,
         g.outcome
    FROM public.goals g CROSS JOIN LATERAL (
      SELECT count(*)::integer AS tasks, count(*) FILTER (WHERE t.status = 'completed')::integer AS completed,
             count(*) FILTER (WHERE t.status IN ('failed', 'rejected', 'cancelled'))::integer AS failed,
             count(*) FILTER (WHERE t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled'))::integer AS open
        FROM public.governance_tasks t WHERE t.goal_id = g.id) n
   ORDER BY g.created_at DESC;

CREATE VIEW public.spend AS
  SELECT b.scope, b.cap_usd, b.spent_usd, b.reserved_usd, b.cap_usd - b.spent_usd - b.reserved_usd AS left_usd,
         CASE WHEN b.period_start IS NULL THEN 'never' ELSE 'daily, 00:00 UTC' END AS resets
    FROM public.budgets b ORDER BY b.scope;

CREATE VIEW public.open_alerts AS
  SELECT a.id, a.kind, a.severity, juggernaut.shown(a.title) AS title, a.details, a.first_seen, a.last_seen, a.times
    FROM public.alerts a WHERE a.resolved_at IS NULL ORDER BY a.last_seen DESC;

CREATE VIEW public.proof AS
  SELECT t.id AS task_id, juggernaut.shown(t.title) AS title, t.task_type, e.kind, e.source, e.facts,
         (SELECT coalesce(jsonb_agg(jsonb_build_object('criterion', v.number, 'text', c.text, 'verdict', v.verdict, 'source', v.source,
                                                       'facts', v.facts) ORDER BY v.number), '[]')
            FROM juggernaut.verdicts v JOIN juggernaut.criteria c USING (task_id, number) WHERE v.task_id = t.id AND v.fence = e.fence) AS verdicts,
         e.facts ->> 'merged_sha' AS merged_sha, e.facts ->> 'pull_url' AS pull_url, t.completed_at
    FROM public.governance_tasks t JOIN juggernaut.evidence e ON e.id = t.evidence_id
   ORDER BY t.completed_at DESC;

-- Must always be empty. Each line is a promise that the constraints and the guard keep.
CREATE VIEW public.law_violations AS
  SELECT 'completed without evidence of its own attempt' AS law, t.id AS task_id, t.title AS details
    FROM public.governance_tasks t LEFT JOIN juggernaut.evidence e ON e.id = t.evidence_id AND e.task_id = t.id AND e.fence = t.fence
   WHERE t.status = 'completed' AND e.id IS NULL
  UNION ALL
  SELECT 'completed with a criterion that is not met', t.id, format('criterion %s', c.number)
    FROM public.governance_tasks t JOIN juggernaut.criteria c ON c.task_id = t.id
    LEFT JOIN juggernaut.verdicts v ON v.task_id = t.id AND v.number = c.number AND v.fence = t.fence
   WHERE t.status = 'completed' AND v.verdict IS DISTINCT FROM 'met'
  UNION ALL
  SELECT 'high or critical work completed without approval', t.id, t.risk_level
    FROM public.governance_tasks t JOIN juggernaut.risks r USING (risk_level)
   WHERE t.status = 'completed' AND r.approvers > 0
     AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'approved')
  UNION ALL
  SELECT 'approved by fewer people than needed', a.task_id, format('%s: %s of %s', a.gate, count(d.decided_by), a.need)
    FROM public.approvals a LEFT JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
   WHERE a.status = 'approved' GROUP BY a.id HAVING count(d.decided_by) < a.need
  UNION ALL
  SELECT 'approved by its proposer', a.task_id, d.decided_by
    FROM public.approvals a JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
    JOIN public.governance_tasks t ON t.id = a.task_id
   WHERE a.status = 'approved' AND d.decided_by IN (t.created_by, a.requested_by)
  UNION ALL
  SELECT 'two ends of one task', a.task_id, format('%s completions', count(*))
    FROM juggernaut.attempts a WHERE a.ended_as = 'completed' GROUP BY a.task_id HAVING count(*) > 1
  UNION ALL
  SELECT 'a purse does not balance', NULL, b.scope
    FROM public.budgets b
   WHERE b.reserved_usd <> (SELECT coalesce(sum(c.reserved_usd), 0) FROM juggernaut.model_calls c WHERE c.state = 'reserved' AND b.scope = ANY (c.scopes))
  UNION ALL
  SELECT 'blocked, or waiting, without a next step', t.id, t.status
    FROM public.governance_tasks t
   WHERE (t.status = 'blocked' AND t.blocked_owner IS NULL)
      OR (t.status = 'waiting_approval' AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'pending'));
