-- The watchdog's look costs a bounded share of the time and raises a bounded number of alerts, however
-- much there is: law_violations reads all finished tasks, and a hundred thousand tasks may be blocked.
SET LOCAL ROLE juggernaut_owner;

INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('law_share', 0.05, 'fraction', 'looking for broken laws may take this share of the time: after a look of 6 s the next comes 120 s later'),
  ('alerts_of_a_kind', 100, 'alerts', 'of one kind so many alerts are raised at once, the oldest first; one more says how many there are beyond');

CREATE TABLE juggernaut.looks (
  kind text PRIMARY KEY,
  began_at timestamptz NOT NULL,
  took interval NOT NULL
);
COMMENT ON TABLE juggernaut.looks IS 'when the watchdog looked last for what is dear to look for, and how long that took';
CREATE TRIGGER fresh_snapshot BEFORE INSERT OR DELETE OR UPDATE ON juggernaut.looks FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.fresh_snapshot();
ALTER TABLE juggernaut.looks ENABLE ALWAYS TRIGGER fresh_snapshot;
GRANT SELECT ON juggernaut.looks TO juggernaut_worker, juggernaut_plain, juggernaut_approver, juggernaut_reader;

-- What there is to say now, each kind by itself and the oldest first.
CREATE VIEW juggernaut.findings AS
  SELECT 'worker_stale' AS kind, w.worker_id AS subject, 'error' AS severity, format('worker %s has not beaten for %s s', w.worker_id,
           round(extract(epoch FROM clock_timestamp() - s.beat_at))) AS title,
         jsonb_build_object('worker_id', w.worker_id, 'worker_type', w.worker_type, 'last_beat', s.beat_at) AS details, s.beat_at AS since
    FROM public.worker_registry w JOIN juggernaut.sessions s ON s.id = w.instance_id
   WHERE s.closed_at IS NULL AND s.beat_at < clock_timestamp() - juggernaut.seconds('stale_seconds')
  UNION ALL
  SELECT 'task_stuck', t.id::text, 'error', format('task "%s" is in progress for %s minutes', t.title, round(extract(epoch FROM clock_timestamp() - t.started_at) / 60)),
         jsonb_build_object('task_id', t.id, 'worker', t.assigned_worker), t.started_at
    FROM public.governance_tasks t WHERE t.lease_login IS NOT NULL AND t.started_at < clock_timestamp() - juggernaut.seconds('stuck_seconds')
  UNION ALL
  SELECT 'failure_rate', x.task_type, 'warning', format('%s of %s attempts at %s tasks failed', x.bad, x.ended, x.task_type),
         jsonb_build_object('task_type', x.task_type, 'failed', x.bad, 'ended', x.ended), NULL
    FROM (SELECT t.task_type, count(*) AS ended, count(*) FILTER (WHERE a.ended_as IN ('failed', 'retry', 'expired')) AS bad
            FROM juggernaut.attempts a JOIN public.governance_tasks t ON t.id = a.task_id
           WHERE a.ended_at > clock_timestamp() - juggernaut.seconds('failure_window_seconds')
             AND a.ended_as IN ('completed', 'failed', 'retry', 'expired') GROUP BY t.task_type) x
   WHERE x.ended >= juggernaut.threshold('failure_least') AND x.bad > x.ended * juggernaut.threshold('failure_rate')
  UNION ALL
  SELECT 'repeated_error', left(x.error_code || ': ' || x.message, 200), 'warning', format('%s times: %s: %s', x.times, x.error_code, left(x.message, 150)),
         jsonb_build_object('error_code', x.error_code, 'times', x.times, 'task_ids', x.task_ids), x.since
    FROM (SELECT coalesce(a.error_code, 'failed') AS error_code, coalesce(left(a.error_message, 120), '') AS message, count(*) AS times, min(a.ended_at) AS since, to_jsonb((array_agg(DISTINCT a.task_id))[1:20]) AS task_ids
            FROM juggernaut.attempts a
           WHERE a.ended_at > clock_timestamp() - juggernaut.seconds('failure_window_seconds') AND a.ended_as IN ('failed', 'retry', 'expired')
           GROUP BY 1, 2) x
   WHERE x.times >= juggernaut.threshold('repeated_errors')
  UNION ALL
  SELECT 'approval_waits', a.task_id::text, 'warning', format('task %s waits for approval since %s', a.task_id, a.requested_at),
         jsonb_build_object('task_id', a.task_id, 'gate', a.gate), a.requested_at
    FROM public.approvals a WHERE a.status = 'pending' AND a.escalated_at IS NOT NULL
  UNION ALL
  SELECT 'task_blocked', t.id::text, 'warning', format('task "%s" is blocked: %s', t.title, t.blocked_reason),
         jsonb_build_object('task_id', t.id, 'owner', t.blocked_owner), t.created_at
    FROM public.governance_tasks t WHERE t.status = 'blocked'
  UNION ALL
  -- One alert for all of them, and only the oldest are looked at: a million may wait.
  SELECT 'tasks_late', 'all', 'warning', format('%s of the oldest open tasks are late; the first is "%s": %s', count(*),
           (array_agg(x.title ORDER BY x.late))[1], (array_agg(x.reason ORDER BY x.late))[1]),
         jsonb_build_object('task_ids', (array_agg(x.id ORDER BY x.late))[1:20]), min(x.late)
    FROM (SELECT o.id, left(o.title, 100) AS title, w.reason, w.deadline AS late
            FROM (VALUES ('pending'), ('waiting')) AS y (status)
           CROSS JOIN LATERAL (SELECT t.* FROM public.governance_tasks t WHERE t.status = y.status ORDER BY t.created_at LIMIT 100) o
           CROSS JOIN LATERAL juggernaut.why_row(o) w
           WHERE w.deadline < clock_timestamp()
             -- Who waits for others is late by its own deadline alone: those others are looked at themselves.
             AND (y.status <> 'waiting' OR o.deadline IS NOT NULL OR o.waits = 0)) x
  HAVING count(*) > 0;
COMMENT ON VIEW juggernaut.findings IS 'what the watchdog raises alerts for, but for broken laws, which are dear to look for';

-- Alerts are a set: what is found now is raised or refreshed, what is not found any more is resolved.
-- What could not be looked for, or was not, stays as it is; nobody's lock on an alert is waited for.
CREATE OR REPLACE FUNCTION juggernaut.detect_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  f record;
  v_kind text;
  n_found integer := 0;
  n_resolved integer := 0;
  n_most integer := juggernaut.threshold('alerts_of_a_kind');
  kinds text[] := ARRAY['worker_stale', 'task_stuck', 'failure_rate', 'repeated_error', 'approval_waits', 'law_violation', 'task_blocked', 'tasks_late'];
  seen text[] := '{}';
  looked text[] := '{}';
  v_error text;
  v_began timestamptz;
BEGIN
  IF NOT juggernaut.alone('detect') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  FOREACH v_kind IN ARRAY kinds LOOP
    CONTINUE WHEN v_kind = 'law_violation' AND EXISTS (
      SELECT FROM juggernaut.looks l WHERE l.kind = 'law' AND l.began_at <= clock_timestamp()
         AND clock_timestamp() < l.began_at + l.took / greatest(juggernaut.threshold('law_share'), 0.001)::float8);
    v_error := NULL;
    v_began := clock_timestamp();
    BEGIN
      FOR f IN
        WITH found AS (
          SELECT x.*, row_number() OVER (ORDER BY x.since, x.subject) AS nth, count(*) OVER () AS of
            FROM (SELECT v.* FROM juggernaut.findings v WHERE v.kind = v_kind
                  UNION ALL
                  SELECT 'law_violation', coalesce(v.task_id::text, v.details) || ' ' || v.law, 'critical', v.law,
                         jsonb_build_object('task_id', v.task_id, 'details', v.details), NULL
                    FROM public.law_violations v WHERE v_kind = 'law_violation') x)
        SELECT subject, severity, title, details FROM found WHERE nth <= n_most
        UNION ALL
        SELECT 'more', severity, format('and %s more of this kind', of - n_most), jsonb_build_object('more', of - n_most) FROM found WHERE nth = n_most + 1
      LOOP
        PERFORM juggernaut.try_raise_alert(v_kind, f.subject, f.severity, f.title, f.details);
        seen := seen || (v_kind || ' ' || f.subject);
        n_found := n_found + 1;
      END LOOP;
      looked := looked || v_kind;
      IF v_kind = 'law_violation' THEN
        INSERT INTO juggernaut.looks (kind, began_at, took) VALUES ('law', v_began, clock_timestamp() - v_began)
          ON CONFLICT (kind) DO UPDATE SET began_at = excluded.began_at, took = excluded.took;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      v_error := SQLERRM;
    END;
    IF v_error IS NOT NULL THEN
      PERFORM juggernaut.try_raise_alert('detect_error', v_kind, 'error', format('the watchdog could not look for %s: %s', v_kind, v_error),
                                         jsonb_build_object('kind', v_kind, 'message', v_error));
    END IF;
  END LOOP;
  UPDATE public.alerts a SET resolved_at = clock_timestamp()
   WHERE a.id = ANY (ARRAY(
     SELECT o.id FROM public.alerts o
      WHERE o.resolved_at IS NULL AND (
            (o.kind = ANY (looked) AND (o.kind || ' ' || o.subject) <> ALL (seen))
         OR (o.kind = 'detect_error' AND o.subject = ANY (looked))
         OR (o.kind = 'task_failed' AND NOT EXISTS (SELECT FROM public.governance_tasks t WHERE t.id::text = o.subject AND t.status = 'failed'))
         OR (o.kind = 'goal_failed' AND NOT EXISTS (SELECT FROM public.goals g WHERE g.id::text = o.subject AND g.status = 'failed'))
         OR (o.kind = 'schedule_disabled' AND NOT EXISTS (SELECT FROM public.schedules s WHERE s.name = o.subject AND NOT s.enabled)))
        FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n_resolved = ROW_COUNT;
  RETURN jsonb_build_object('found', n_found, 'resolved', n_resolved);
END
$$;
