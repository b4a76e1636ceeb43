-- What a person is told: the statement that approves approves what was read, and every open task has
-- an owner and a deadline.
SET LOCAL ROLE juggernaut_owner;

INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('open_seconds', 86400, 'seconds', 'a task that nobody could take for so long is late, unless it has a deadline of its own');

-- With the digest that stands beside it: a request that changed since it was read is not approved. And
-- with all that is hashed: a body may hold more than a diff.
CREATE OR REPLACE VIEW public.pending_approvals AS
  SELECT a.task_id, juggernaut.shown(t.title) AS title, t.task_type, a.risk_level, a.gate, juggernaut.shown(a.reason) AS reason,
         a.factors AS risk_factors, juggernaut.shown(CASE WHEN a.gate = 'diff' AND a.body ? 'diff' THEN jsonb_pretty(a.body - 'diff') || E'\n' || (a.body ->> 'diff')
                                ELSE jsonb_pretty(a.body) END) AS plan, a.digest,
         a.requested_by AS proposed_by, juggernaut.task_cost(a.task_id) AS cost_usd, a.requested_at AS waiting_since,
         (SELECT count(*) FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved') AS have, a.need,
         format('SELECT approve_task(%L, ''read it'', %L)', a.task_id, a.digest) AS approve_sql,
         format('SELECT reject_task(%L, ''why not'')', a.task_id) AS reject_sql,
         format('SELECT send_back(%L, ''what to change'')', a.task_id) AS send_back_sql
    FROM public.approvals a JOIN public.governance_tasks t ON t.id = a.task_id
   WHERE a.status = 'pending' ORDER BY a.requested_at;

-- By when somebody should have taken it: its own deadline, else so long after it was last touched.
CREATE FUNCTION juggernaut.late_at(t public.governance_tasks, p_since timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT coalesce(t.deadline, greatest(t.created_at, t.run_after, t.started_at, p_since) + juggernaut.seconds('open_seconds'))
$$;
REVOKE ALL ON FUNCTION juggernaut.late_at(public.governance_tasks, timestamptz) FROM PUBLIC;

-- As before, with a deadline for every open task, what a worker that claims by itself may take, and
-- how many approvals are missing.
CREATE OR REPLACE FUNCTION juggernaut.why_row(t public.governance_tasks) RETURNS TABLE (reason text, owner text, deadline timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
  v_have integer;
BEGIN
  IF t.status IN ('completed', 'failed', 'rejected', 'cancelled') THEN
    RETURN QUERY SELECT t.status || coalesce(': ' || t.error_message, ''), 'nobody'::text, NULL::timestamptz;
  ELSIF t.status = 'waiting_approval' THEN
    SELECT * INTO a FROM public.approvals x WHERE x.task_id = t.id AND x.status = 'pending';
    SELECT count(*) INTO v_have FROM juggernaut.decisions d WHERE d.approval_id = a.id AND d.decision = 'approved';
    RETURN QUERY SELECT format('waits for %s%s approval(s) of its %s, digest %s: %s', CASE WHEN v_have > 0 THEN 'another ' ELSE '' END, a.need - v_have,
                               a.gate, left(a.digest, 12), a.reason),
      'an approver'::text, a.requested_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'blocked' THEN
    RETURN QUERY SELECT t.blocked_reason, t.blocked_owner, t.blocked_at + juggernaut.seconds('approval_seconds');
  ELSIF t.status = 'waiting' THEN
    RETURN QUERY SELECT 'needs ' || string_agg(format('%s "%s" (%s)', n.id, left(n.title, 60), n.status), ', ' ORDER BY n.created_at, n.id),
      'the tasks it needs'::text, juggernaut.late_at(t)
      FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id WHERE d.task_id = t.id AND NOT d.met;
  ELSIF t.status = 'in_progress' THEN
    RETURN QUERY SELECT format('in progress with %s since %s', t.assigned_worker, to_char(t.started_at, 'HH24:MI:SS')), t.assigned_worker, t.lease_until;
  ELSIF t.status = 'awaiting_merge' AND EXISTS (SELECT FROM juggernaut.pull_watches w WHERE w.task_id = t.id AND w.waiting) THEN
    RETURN QUERY SELECT format('pull request #%s: %s', w.number, w.reason), w.owner, w.since + juggernaut.seconds('pull_wait_seconds')
      FROM juggernaut.pull_watches w WHERE w.task_id = t.id;
  ELSIF t.status = 'awaiting_merge' THEN
    RETURN QUERY SELECT format('%s reported a merge; the forge has not confirmed it yet', coalesce(t.assigned_worker, 'a worker')),
      'the swarm: an executor asks the forge'::text,
      coalesce((SELECT x.ended_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence), t.started_at)
        + juggernaut.seconds('merge_confirm_seconds');
  ELSIF EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id)) THEN
    RETURN QUERY SELECT format('paused (%s) by %s: %s', c.scope, c.paused_by, c.reason), 'a person: resume_swarm'::text, juggernaut.late_at(t, c.paused_at)
      FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id) ORDER BY c.scope LIMIT 1;
  ELSIF t.due_at > clock_timestamp() AND EXISTS (SELECT FROM juggernaut.footprints f WHERE f.task_id = t.id AND f.waits_for IS NOT NULL) THEN
    RETURN QUERY SELECT format('task %s "%s" works on the same files; tried again at %s', h.id, left(h.title, 60), to_char(t.due_at, 'HH24:MI:SS')),
      'that task'::text, t.due_at
      FROM juggernaut.footprints f JOIN public.governance_tasks h ON h.id = f.waits_for WHERE f.task_id = t.id;
  ELSIF t.due_at > clock_timestamp() THEN
    RETURN QUERY SELECT format('not before %s (attempt %s of %s%s)', to_char(t.due_at, 'HH24:MI:SS'), t.attempts + 1, t.max_attempts,
      coalesce(', after: ' || left(t.error_message, 200), '')), 'the swarm'::text, t.due_at;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.task_type = t.task_type) THEN
    RETURN QUERY SELECT format('no role is granted task type %s', t.task_type), 'an operator: grant_capability'::text, juggernaut.late_at(t);
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)) THEN
    RETURN QUERY SELECT format('no live worker%s is granted task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one'::text, juggernaut.late_at(t);
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
                       AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles))) THEN
    RETURN QUERY SELECT format('no live worker%s handles task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one that does'::text, juggernaut.late_at(t);
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
                       AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles))
                       AND NOT EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('role:' || s.worker_type, 'worker:' || s.worker_id))) THEN
    RETURN QUERY SELECT format('every worker that could take it is paused: %s', string_agg(format('%s by %s: %s', c.scope, c.paused_by, c.reason), '; ' ORDER BY c.scope)),
      'a person: resume_swarm'::text, juggernaut.late_at(t, max(c.paused_at))
      FROM public.controls c WHERE EXISTS (
        SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
         WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
           AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
           AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles)) AND c.scope IN ('role:' || s.worker_type, 'worker:' || s.worker_id));
  ELSIF t.concurrency_key IS NOT NULL AND EXISTS (
      SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL) THEN
    RETURN QUERY SELECT format('another task with concurrency_key %s is in progress', t.concurrency_key), 'that task'::text, juggernaut.late_at(t);
  ELSIF juggernaut.approvers_of(t) > 0 AND NOT EXISTS (
      SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
       WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp() AND s.secret_hash IS NOT NULL
         AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type) AND t.task_type = ANY (s.handles))
      AND NOT EXISTS (SELECT FROM public.approvals p WHERE p.task_id = t.id AND p.gate = 'plan' AND p.status = 'approved'
                         AND p.need >= juggernaut.approvers_of(t) AND p.body - 'reason' = juggernaut.raw_body(t)
                         AND p.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds')) THEN
    RETURN QUERY SELECT 'only workers that claim by plain SQL could take it, and they may not before it is approved',
      'such a worker: request_approval; or an operator: start a worker that plans it'::text, juggernaut.late_at(t);
  ELSE
    RETURN QUERY SELECT 'ready: waits for a free worker', 'the swarm'::text, juggernaut.late_at(t);
  END IF;
END
$$;

-- Alerts are a set: what is found now is raised or refreshed, what is not found any more is resolved.
CREATE OR REPLACE FUNCTION juggernaut.detect_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  f record;
  n_found integer := 0;
  n_resolved integer := 0;
  kinds text[] := ARRAY['worker_stale', 'task_stuck', 'failure_rate', 'repeated_error', 'approval_waits', 'law_violation', 'task_blocked', 'tasks_late'];
  seen text[] := '{}';
BEGIN
  IF NOT juggernaut.alone('detect') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  FOR f IN
    SELECT 'worker_stale' AS kind, w.worker_id AS subject, 'error' AS severity, format('worker %s has not beaten for %s s', w.worker_id,
             round(extract(epoch FROM clock_timestamp() - s.beat_at))) AS title,
           jsonb_build_object('worker_id', w.worker_id, 'worker_type', w.worker_type, 'last_beat', s.beat_at) AS details
      FROM public.worker_registry w JOIN juggernaut.sessions s ON s.id = w.instance_id
     WHERE s.closed_at IS NULL AND s.beat_at < clock_timestamp() - juggernaut.seconds('stale_seconds')
    UNION ALL
    SELECT 'task_stuck', t.id::text, 'error', format('task "%s" is in progress for %s minutes', t.title, round(extract(epoch FROM clock_timestamp() - t.started_at) / 60)),
           jsonb_build_object('task_id', t.id, 'worker', t.assigned_worker)
      FROM public.governance_tasks t WHERE t.lease_login IS NOT NULL AND t.started_at < clock_timestamp() - juggernaut.seconds('stuck_seconds')
    UNION ALL
    SELECT 'failure_rate', x.task_type, 'warning', format('%s of %s attempts at %s tasks failed', x.bad, x.ended, x.task_type),
           jsonb_build_object('task_type', x.task_type, 'failed', x.bad, 'ended', x.ended)
      FROM (SELECT t.task_type, count(*) AS ended, count(*) FILTER (WHERE a.ended_as IN ('failed', 'retry', 'expired')) AS bad
              FROM juggernaut.attempts a JOIN public.governance_tasks t ON t.id = a.task_id
             WHERE a.ended_at > clock_timestamp() - juggernaut.seconds('failure_window_seconds')
               AND a.ended_as IN ('completed', 'failed', 'retry', 'expired') GROUP BY t.task_type) x
     WHERE x.ended >= juggernaut.threshold('failure_least') AND x.bad > x.ended * juggernaut.threshold('failure_rate')
    UNION ALL
    SELECT 'repeated_error', left(x.error_code || ': ' || x.message, 200), 'warning', format('%s times: %s: %s', x.times, x.error_code, left(x.message, 150)),
           jsonb_build_object('error_code', x.error_code, 'times', x.times, 'task_ids', x.task_ids)
      FROM (SELECT a.error_code, left(a.error_message, 120) AS message, count(*) AS times, jsonb_agg(DISTINCT a.task_id) AS task_ids
              FROM juggernaut.attempts a
             WHERE a.ended_at > clock_timestamp() - juggernaut.seconds('failure_window_seconds') AND a.ended_as IN ('failed', 'retry', 'expired')
             GROUP BY 1, 2) x
     WHERE x.times >= juggernaut.threshold('repeated_errors')
    UNION ALL
    SELECT 'approval_waits', a.task_id::text, 'warning', format('task %s waits for approval since %s', a.task_id, a.requested_at),
           jsonb_build_object('task_id', a.task_id, 'gate', a.gate)
      FROM public.approvals a WHERE a.status = 'pending' AND a.escalated_at IS NOT NULL
    UNION ALL
    SELECT 'task_blocked', t.id::text, 'warning', format('task "%s" is blocked: %s', t.title, t.blocked_reason),
           jsonb_build_object('task_id', t.id, 'owner', t.blocked_owner)
      FROM public.governance_tasks t WHERE t.status = 'blocked'
    UNION ALL
    -- One alert for all of them, and only the oldest are looked at: a million may wait.
    SELECT 'tasks_late', 'all', 'warning', format('%s of the oldest open tasks are late; the first is "%s": %s', count(*),
             (array_agg(x.title ORDER BY x.late))[1], (array_agg(x.reason ORDER BY x.late))[1]),
           jsonb_build_object('task_ids', (array_agg(x.id ORDER BY x.late))[1:20])
      FROM (SELECT o.id, left(o.title, 100) AS title, w.reason, w.deadline AS late
              FROM (VALUES ('pending'), ('waiting')) AS y (status)
             CROSS JOIN LATERAL (SELECT t.* FROM public.governance_tasks t WHERE t.status = y.status ORDER BY t.created_at LIMIT 100) o
             CROSS JOIN LATERAL juggernaut.why_row(o) w
             WHERE w.deadline < clock_timestamp()) x
    HAVING count(*) > 0
    UNION ALL
    SELECT 'law_violation', coalesce(v.task_id::text, v.details) || ' ' || v.law, 'critical', v.law, jsonb_build_object('task_id', v.task_id, 'details', v.details)
      FROM public.law_violations v
  LOOP
    PERFORM juggernaut.raise_alert(f.kind, f.subject, f.severity, f.title, f.details);
    seen := seen || (f.kind || ' ' || f.subject);
    n_found := n_found + 1;
  END LOOP;
  UPDATE public.alerts SET resolved_at = clock_timestamp()
   WHERE resolved_at IS NULL AND (
         (kind = ANY (kinds) AND (kind || ' ' || subject) <> ALL (seen))
      OR (kind = 'task_failed' AND NOT EXISTS (SELECT FROM public.governance_tasks t WHERE t.id::text = subject AND t.status = 'failed'))
      OR (kind = 'goal_failed' AND NOT EXISTS (SELECT FROM public.goals g WHERE g.id::text = subject AND g.status = 'failed'))
      OR (kind = 'schedule_disabled' AND NOT EXISTS (SELECT FROM public.schedules s WHERE s.name = subject AND NOT s.enabled)));
  GET DIAGNOSTICS n_resolved = ROW_COUNT;
  RETURN jsonb_build_object('found', n_found, 'resolved', n_resolved);
END
$$;
