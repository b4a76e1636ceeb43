-- Model-free duties: sweeping, alerts, goals, schedules, metrics, the audit chain. Each takes an
-- advisory lock without waiting, so any number of processes may call them.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.alone(p_duty text) RETURNS boolean
LANGUAGE sql SET search_path = juggernaut, pg_temp
AS $$ SELECT pg_try_advisory_xact_lock(hashtextextended('juggernaut.' || p_duty, 0)) $$;

CREATE FUNCTION juggernaut.raise_alert(p_kind text, p_subject text, p_severity text, p_title text, p_details jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  INSERT INTO public.alerts (kind, subject, severity, title, details) VALUES (p_kind, p_subject, p_severity, left(p_title, 300), p_details)
    ON CONFLICT (kind, subject) WHERE resolved_at IS NULL
    DO UPDATE SET last_seen = clock_timestamp(), times = alerts.times + 1, title = excluded.title, details = excluded.details
$$;

CREATE FUNCTION juggernaut.sweep_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  c record;
  n_expired integer := 0; n_dead integer := 0; n_stale integer := 0; n_due integer := 0; n_written integer := 0; n_sealed integer := 0;
BEGIN
  IF NOT juggernaut.alone('sweep') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  FOR t IN
    SELECT g.* FROM public.governance_tasks g LEFT JOIN juggernaut.sessions s ON s.id = g.session_id
     WHERE g.lease_login IS NOT NULL AND (g.lease_until <= clock_timestamp() OR s.closed_at IS NOT NULL OR s.expires_at <= clock_timestamp())
     ORDER BY g.id LIMIT 500 FOR UPDATE OF g SKIP LOCKED
  LOOP
    PERFORM juggernaut.end_attempt(t.id, t.fence, 'expired', 'lease_expired', format('the lease of %s expired', t.assigned_worker));
    UPDATE public.governance_tasks g
       SET status = CASE WHEN g.attempts < g.max_attempts THEN 'pending' ELSE 'failed' END,
           error_message = CASE WHEN g.attempts < g.max_attempts THEN NULL
                                ELSE format('lease_expired: %s attempts ended without an answer, the last one with %s', g.attempts, t.assigned_worker) END,
           assigned_worker = g.assignment, run_after = NULL,
           session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
     WHERE g.id = t.id;
    IF t.attempts >= t.max_attempts THEN
      PERFORM juggernaut.raise_alert('task_failed', t.id::text, 'error', format('task "%s" was given up after %s attempts', t.title, t.attempts),
                                     jsonb_build_object('task_id', t.id, 'code', 'lease_expired'));
      n_dead := n_dead + 1;
    END IF;
    n_expired := n_expired + 1;
  END LOOP;
  UPDATE public.worker_registry w SET status = 'stale', current_task_id = NULL
    FROM juggernaut.sessions s
   WHERE s.id = w.instance_id AND w.status NOT IN ('stale', 'offline') AND s.closed_at IS NULL
     AND s.beat_at < clock_timestamp() - greatest(juggernaut.seconds('stale_seconds'), interval '1 second');
  GET DIAGNOSTICS n_stale = ROW_COUNT;
  UPDATE public.governance_tasks g SET due_at = NULL
   WHERE g.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp()
                            ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n_due = ROW_COUNT;
  FOR c IN
    SELECT m.id, m.reserved_usd FROM juggernaut.model_calls m JOIN juggernaut.attempts a USING (task_id, fence)
     WHERE m.state = 'reserved' AND a.ended_at < clock_timestamp() - juggernaut.seconds('write_off_seconds') LIMIT 200
  LOOP
    PERFORM juggernaut.settle(c.id, c.reserved_usd, '{"written_off": "the attempt ended without settling"}', 'written_off');
    n_written := n_written + 1;
  END LOOP;
  UPDATE public.approvals SET escalated_at = clock_timestamp()
   WHERE status = 'pending' AND escalated_at IS NULL AND requested_at < clock_timestamp() - juggernaut.seconds('approval_seconds');
  n_sealed := juggernaut.seal_audit();
  PERFORM juggernaut.keep_log_partitions();
  RETURN jsonb_build_object('expired', n_expired, 'given_up', n_dead, 'stale', n_stale, 'due', n_due, 'written_off', n_written, 'sealed', n_sealed);
END
$$;

-- Alerts are a set: what is found now is raised or refreshed, what is not found any more is resolved.
CREATE FUNCTION juggernaut.detect_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  f record;
  n_found integer := 0;
  n_resolved integer := 0;
  kinds text[] := ARRAY['worker_stale', 'task_stuck', 'failure_rate', 'repeated_error', 'approval_waits', 'law_violation', 'task_blocked'];
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

-- Closes a goal when the tasks of its newest plan are done, with what proves it; asks for one new
-- plan when a task of it failed for good; gives up after that.
CREATE FUNCTION juggernaut.settle_goals_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  g public.goals;
  p public.governance_tasks;
  k record;
  why_failed text;
  n_completed integer := 0; n_failed integer := 0; n_replanned integer := 0;
BEGIN
  IF NOT juggernaut.alone('goals') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  FOR g IN SELECT * FROM public.goals x WHERE x.status = 'active' ORDER BY x.created_at LIMIT 200 FOR UPDATE SKIP LOCKED LOOP
    SELECT * INTO p FROM public.governance_tasks t WHERE t.goal_id = g.id AND t.task_type = 'planning' ORDER BY t.created_at DESC, t.id LIMIT 1;
    CONTINUE WHEN p.id IS NULL OR p.status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
    SELECT count(*) AS tasks, count(*) FILTER (WHERE t.status = 'completed') AS done,
           count(*) FILTER (WHERE t.status IN ('failed', 'rejected')) AS bad,
           count(*) FILTER (WHERE t.status IN ('pending', 'in_progress', 'waiting_approval', 'awaiting_merge')
                               OR (t.status = 'blocked' AND t.waits = 0)) AS moving,
           string_agg(format('%s "%s": %s', t.status, t.title, left(t.error_message, 300)), '; ') FILTER (WHERE t.status IN ('failed', 'rejected')) AS errors
      INTO k FROM public.governance_tasks t WHERE t.goal_id = g.id AND t.parent_task_id = p.id;
    IF p.status = 'completed' AND k.tasks > 0 AND k.done = k.tasks THEN
      UPDATE public.goals SET status = 'completed', completed_at = clock_timestamp(),
             outcome = jsonb_build_object('proof', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('task_id', t.id, 'title', t.title,
               'evidence_id', t.evidence_id, 'merged_sha', e.facts ->> 'merged_sha')) ORDER BY t.completed_at)
                FROM public.governance_tasks t JOIN juggernaut.evidence e ON e.id = t.evidence_id WHERE t.parent_task_id = p.id))
       WHERE id = g.id;
      n_completed := n_completed + 1;
    ELSIF p.status <> 'completed' OR (k.moving = 0 AND k.done < k.tasks) THEN
      why_failed := coalesce(k.errors, format('%s: %s', p.status, p.error_message), 'tasks were cancelled');
      UPDATE public.governance_tasks SET status = 'cancelled', fence = fence + 1, error_message = 'the goal goes on without it: ' || left(why_failed, 1000)
       WHERE goal_id = g.id AND status IN ('blocked', 'waiting');
      IF p.status = 'completed' AND k.bad > 0 AND g.replans < juggernaut.threshold('goal_replans') THEN
        UPDATE public.goals SET replans = replans + 1 WHERE id = g.id;
        PERFORM juggernaut.plan_goal(g, jsonb_build_object('replan', true, 'why', left(why_failed, 2000)));
        n_replanned := n_replanned + 1;
      ELSE
        UPDATE public.goals SET status = 'failed', completed_at = clock_timestamp(), outcome = jsonb_build_object('reason', left(why_failed, 4000)) WHERE id = g.id;
        PERFORM juggernaut.raise_alert('goal_failed', g.id::text, 'error', format('goal "%s" failed', g.title), jsonb_build_object('goal_id', g.id, 'reason', left(why_failed, 1000)));
        n_failed := n_failed + 1;
      END IF;
    END IF;
  END LOOP;
  RETURN jsonb_build_object('completed', n_completed, 'failed', n_failed, 'replanned', n_replanned);
END
$$;

CREATE FUNCTION juggernaut.due_schedules_v1() RETURNS TABLE (name text, cron text, time_zone text, scheduled_at timestamptz, first boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT s.name, s.cron, s.time_zone, coalesce(s.next_run_at, clock_timestamp()), s.next_run_at IS NULL
    FROM public.schedules s WHERE s.enabled AND (s.next_run_at IS NULL OR s.next_run_at <= clock_timestamp()) LIMIT 100
$$;

-- A schedule fires once for each point in time, however many processes look; a new one only gets
-- its first point. Missed points collapse into one.
CREATE FUNCTION juggernaut.fire_schedule_v1(p_name text, p_scheduled timestamptz, p_next timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  s public.schedules;
BEGIN
  SELECT * INTO s FROM public.schedules x WHERE x.name = p_name AND x.enabled FOR UPDATE;
  IF s.name IS NULL OR (s.next_run_at IS NOT NULL AND s.next_run_at <> p_scheduled) THEN
    RETURN false;
  END IF;
  IF p_next IS NULL THEN
    UPDATE public.schedules SET enabled = false, disabled_reason = format('cron %L or time zone %L is not valid', cron, time_zone) WHERE name = p_name;
    PERFORM juggernaut.raise_alert('schedule_disabled', p_name, 'error', format('schedule %s is disabled: cron %L or time zone %L is not valid', p_name, s.cron, s.time_zone), '{}');
    RETURN false;
  END IF;
  UPDATE public.schedules SET next_run_at = p_next, last_run_at = CASE WHEN s.next_run_at IS NULL THEN last_run_at ELSE p_scheduled END WHERE name = p_name;
  IF s.next_run_at IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO public.governance_tasks (title, description, task_type, priority, payload, repo, dedupe_key)
    VALUES (s.title, s.description, s.task_type, s.priority, s.payload, s.repo, format('schedule:%s:%s', s.name, p_scheduled));
  RETURN true;
END
$$;

-- Figures with the rows they rest on: {hours, rows: [{id, metric, scope, value, previous, unit, rests_on}], failures, goals, learnings}
CREATE FUNCTION juggernaut.metrics_v1(p_hours integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  width interval := make_interval(hours => p_hours);
  v_now timestamptz := clock_timestamp();
  v_rows jsonb;
BEGIN
  WITH ended AS (
    SELECT a.task_id, a.ended_as, t.task_type, a.ended_at > v_now - width AS fresh, extract(epoch FROM a.ended_at - a.started_at) AS took
      FROM juggernaut.attempts a JOIN public.governance_tasks t ON t.id = a.task_id
     WHERE a.ended_at > v_now - 2 * width AND a.ended_as IN ('completed', 'failed', 'retry', 'expired')
  ), figures AS (
    SELECT 'tasks_completed' AS metric, e.task_type AS scope, count(*) FILTER (WHERE e.fresh AND e.ended_as = 'completed')::numeric AS value,
           count(*) FILTER (WHERE NOT e.fresh AND e.ended_as = 'completed')::numeric AS previous, 'tasks' AS unit,
           jsonb_path_query_array(coalesce(jsonb_agg(DISTINCT e.task_id) FILTER (WHERE e.fresh AND e.ended_as = 'completed'), '[]'), '$[0 to 9]') AS rests_on
      FROM ended e GROUP BY e.task_type
    UNION ALL
    SELECT 'failed_attempts', e.task_type, count(*) FILTER (WHERE e.fresh AND e.ended_as <> 'completed'),
           count(*) FILTER (WHERE NOT e.fresh AND e.ended_as <> 'completed'), 'attempts',
           jsonb_path_query_array(coalesce(jsonb_agg(DISTINCT e.task_id) FILTER (WHERE e.fresh AND e.ended_as <> 'completed'), '[]'), '$[0 to 9]')
      FROM ended e GROUP BY e.task_type
    UNION ALL
    SELECT 'median_seconds', e.task_type, round((percentile_cont(0.5) WITHIN GROUP (ORDER BY e.took) FILTER (WHERE e.fresh))::numeric, 2),
           round((percentile_cont(0.5) WITHIN GROUP (ORDER BY e.took) FILTER (WHERE NOT e.fresh))::numeric, 2), 'seconds', '[]'
      FROM ended e WHERE e.ended_as = 'completed' GROUP BY e.task_type
    UNION ALL
    SELECT 'open_tasks', t.status, count(*), NULL, 'tasks', jsonb_path_query_array(jsonb_agg(t.id), '$[0 to 9]')
      FROM public.governance_tasks t WHERE t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled') GROUP BY t.status
    UNION ALL
    SELECT 'cost_usd', c.model, coalesce(sum(c.cost_usd) FILTER (WHERE c.reserved_at > v_now - width), 0),
           coalesce(sum(c.cost_usd) FILTER (WHERE c.reserved_at <= v_now - width), 0), 'US dollars',
           jsonb_path_query_array(jsonb_agg(DISTINCT c.task_id), '$[0 to 9]')
      FROM juggernaut.model_calls c WHERE c.reserved_at > v_now - 2 * width GROUP BY c.model
    UNION ALL
    SELECT 'live_workers', s.worker_type, count(*), NULL, 'workers', '[]'
      FROM juggernaut.sessions s WHERE s.closed_at IS NULL AND s.expires_at > v_now GROUP BY s.worker_type
  )
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', 'm' || n, 'metric', metric, 'scope', scope, 'value', value, 'previous', previous,
                                               'unit', unit, 'rests_on', rests_on) ORDER BY n), '[]') INTO v_rows
    FROM (SELECT *, row_number() OVER (ORDER BY metric, scope) AS n FROM figures WHERE value IS NOT NULL) x;
  RETURN jsonb_build_object('hours', p_hours, 'at', v_now, 'rows', v_rows,
    'failures', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', 'f' || n, 'error_code', error_code, 'count', times, 'example', example, 'task_ids', task_ids) ORDER BY n), '[]')
       FROM (SELECT a.error_code, count(*) AS times, left(min(a.error_message), 300) AS example, jsonb_agg(DISTINCT a.task_id) AS task_ids,
                    row_number() OVER (ORDER BY count(*) DESC, a.error_code) AS n
               FROM juggernaut.attempts a WHERE a.ended_at > v_now - width AND a.error_code IS NOT NULL AND a.ended_as IN ('failed', 'retry', 'expired')
              GROUP BY a.error_code LIMIT 10) x),
    'goals', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', 'g' || n, 'goal_id', goal_id, 'title', title, 'status', status, 'percent', percent) ORDER BY n), '[]')
       FROM (SELECT gp.*, row_number() OVER () AS n FROM public.goal_progress gp LIMIT 20) x),
    'learnings', (SELECT coalesce(jsonb_agg(jsonb_build_object('id', 'l' || n, 'title', title, 'impact', impact_score, 'applied', applied_count) ORDER BY n), '[]')
       FROM (SELECT l.title, l.impact_score, l.applied_count, row_number() OVER (ORDER BY l.id DESC) AS n FROM public.learnings l ORDER BY l.id DESC LIMIT 10) x));
END
$$;

CREATE FUNCTION juggernaut.seal_bytes(p_before bytea, p_from xid8, p_to xid8, OUT digest bytea, OUT n integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT sha256(p_before || convert_to(coalesce(string_agg(jsonb_build_array(e.seq, e.at, e.login, e.application, e.kind, e.subject, e.before, e.after)::text,
                                                           E'\n' ORDER BY e.xid, e.seq), ''), 'UTF8')), count(*)::integer
    FROM juggernaut.events e WHERE e.xid > p_from AND e.xid <= p_to
$$;

CREATE FUNCTION juggernaut.seal_audit() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  last_seal juggernaut.seals;
  v_to xid8;
  s record;
BEGIN
  IF NOT juggernaut.alone('seal') THEN
    RETURN 0;
  END IF;
  SELECT * INTO last_seal FROM juggernaut.seals ORDER BY last_xid DESC LIMIT 1;
  SELECT max(e.xid) INTO v_to FROM juggernaut.events e
   WHERE e.xid > coalesce(last_seal.last_xid, '0'::xid8) AND e.xid < pg_snapshot_xmin(pg_current_snapshot());
  IF v_to IS NULL THEN
    RETURN 0;
  END IF;
  SELECT * INTO s FROM juggernaut.seal_bytes(coalesce(last_seal.digest, ''), coalesce(last_seal.last_xid, '0'::xid8), v_to);
  INSERT INTO juggernaut.seals (last_xid, rows_sealed, digest) VALUES (v_to, s.n, s.digest);
  RETURN s.n;
END
$$;

CREATE FUNCTION public.audit_verify() RETURNS TABLE (ok boolean, sealed bigint, unsealed bigint, first_bad text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  s juggernaut.seals;
  again record;
  v_before bytea := '';
  v_from xid8 := '0';
  v_sealed bigint := 0;
BEGIN
  FOR s IN SELECT * FROM juggernaut.seals ORDER BY last_xid LOOP
    SELECT * INTO again FROM juggernaut.seal_bytes(v_before, v_from, s.last_xid);
    IF again.digest <> s.digest OR again.n <> s.rows_sealed THEN
      RETURN QUERY SELECT false, v_sealed, NULL::bigint,
        format('events of transactions %s to %s (%s rows, sealed %s as %s rows) were changed', v_from, s.last_xid, again.n, s.sealed_at, s.rows_sealed);
      RETURN;
    END IF;
    v_sealed := v_sealed + s.rows_sealed;
    v_before := s.digest;
    v_from := s.last_xid;
  END LOOP;
  RETURN QUERY SELECT true, v_sealed, (SELECT count(*) FROM juggernaut.events e WHERE e.xid > v_from), NULL::text;
END
$$;
