-- The law, rounded off: taint of what came from outside, a pause after an expired lease, and
-- violations that count the decisions of the current round only.
SET LOCAL ROLE juggernaut_owner;

-- A goal or task whose text came from outside is tainted, and so is every task that comes of it.
-- Above low, tainted work waits for a person: a stranger's text starts nothing by itself.
ALTER TABLE public.goals ADD COLUMN tainted boolean NOT NULL DEFAULT false;
ALTER TABLE public.governance_tasks ADD COLUMN tainted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN public.goals.tainted IS 'its text came from outside; every task of it is tainted';
COMMENT ON COLUMN public.governance_tasks.tainted IS 'its text, or that of what it came from, is from outside: above low it needs an approval';
GRANT INSERT (tainted) ON public.goals, public.governance_tasks TO juggernaut_approver;

CREATE FUNCTION juggernaut.guard_taint() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    PERFORM juggernaut.refuse('JG001', format('%s %s: whether a text came from outside never changes', TG_TABLE_NAME, OLD.id),
                              'cancel it and add it again in your own words');
  END IF;
  NEW.tainted := NEW.tainted
    OR EXISTS (SELECT FROM public.goals g WHERE g.id = NEW.goal_id AND g.tainted)
    OR EXISTS (SELECT FROM public.governance_tasks p WHERE p.id = NEW.parent_task_id AND p.tainted);
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_taint BEFORE INSERT ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.goal_id IS NOT NULL OR NEW.parent_task_id IS NOT NULL) EXECUTE FUNCTION juggernaut.guard_taint();
CREATE TRIGGER guard_taint_stays BEFORE UPDATE OF tainted ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.tainted <> OLD.tainted) EXECUTE FUNCTION juggernaut.guard_taint();
CREATE TRIGGER guard_taint_stays BEFORE UPDATE OF tainted ON public.goals FOR EACH ROW
  WHEN (NEW.tainted <> OLD.tainted) EXECUTE FUNCTION juggernaut.guard_taint();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_taint;
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_taint_stays;
ALTER TABLE public.goals ENABLE ALWAYS TRIGGER guard_taint_stays;

CREATE OR REPLACE FUNCTION juggernaut.approvers_of(t public.governance_tasks) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT greatest(r.approvers, CASE WHEN t.requires_approval OR (t.tainted AND t.risk_level <> 'low') THEN 1 ELSE 0 END)
    FROM juggernaut.risks r WHERE r.risk_level = t.risk_level
$$;

CREATE OR REPLACE TRIGGER guard_words_end BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.status = 'completed' AND OLD.status <> 'completed' AND (NEW.requires_approval OR NEW.tainted OR NEW.risk_level NOT IN ('low', 'medium')))
  EXECUTE FUNCTION juggernaut.guard_end();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_words_end;

DROP FUNCTION public.add_goal(text, text, text, numeric);
CREATE FUNCTION public.add_goal(title text, description text DEFAULT '', repo text DEFAULT NULL, budget_usd numeric DEFAULT NULL, trusted boolean DEFAULT true)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_id uuid;
BEGIN
  PERFORM juggernaut.person_only('add a goal');
  INSERT INTO public.goals (title, description, repo, budget_usd, created_by, tainted)
    VALUES (add_goal.title, coalesce(add_goal.description, ''), add_goal.repo, add_goal.budget_usd, juggernaut.acting(), add_goal.trusted IS NOT TRUE)
    RETURNING id INTO v_id;
  RETURN v_id;
END
$$;
GRANT EXECUTE ON FUNCTION public.add_goal(text, text, text, numeric, boolean) TO juggernaut_approver;

-- As before, and tainted work above low waits for one approver of its plan.
CREATE OR REPLACE FUNCTION juggernaut.pass_gate_v1(p_task uuid, p_fence bigint, p_secret uuid, p_gate text, p_digest text, p_body jsonb,
                                        p_risk text, p_factors text[]) RETURNS TABLE (go boolean, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_risk text;
  v_need integer;
  v_reason text;
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  v_risk := juggernaut.higher_risk(juggernaut.higher_risk(p_risk, t.risk_level),
                                   (SELECT risk_floor FROM juggernaut.task_types y WHERE y.task_type = t.task_type));
  INSERT INTO juggernaut.plans (task_id, fence, gate, digest, body, risk_level, factors)
    VALUES (t.id, t.fence, p_gate, p_digest, p_body, v_risk, p_factors) ON CONFLICT (task_id, fence, gate) DO NOTHING;
  SELECT greatest(r.approvers, CASE WHEN p_gate = 'plan' AND (t.requires_approval OR (t.tainted AND v_risk <> 'low')) THEN 1 ELSE 0 END) INTO v_need
    FROM juggernaut.risks r WHERE r.risk_level = v_risk;
  UPDATE public.governance_tasks g SET risk_level = v_risk, risk_factors = p_factors, plan_digest = p_digest WHERE g.id = t.id;
  IF v_need = 0 THEN
    RETURN QUERY SELECT true, format('risk %s: no approval needed', v_risk);
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.digest = p_digest
                AND a.status = 'approved' AND a.need >= v_need) THEN
    RETURN QUERY SELECT true, 'approved';
    RETURN;
  END IF;
  v_reason := coalesce(t.approval_reason, format('risk %s%s: %s', v_risk, CASE WHEN t.tainted THEN ', from outside' END, array_to_string(p_factors, '; ')));
  UPDATE public.approvals a SET status = 'void', decided_at = clock_timestamp()
   WHERE a.task_id = t.id AND a.status IN ('pending', 'approved') AND a.gate = p_gate AND a.digest <> p_digest;
  INSERT INTO public.approvals (task_id, gate, digest, body, risk_level, factors, reason, need, requested_by)
    VALUES (t.id, p_gate, p_digest, p_body, v_risk, p_factors, v_reason, v_need, juggernaut.acting())
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level,
      factors = excluded.factors, decided_at = NULL, requested_at = clock_timestamp();
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'parked', NULL, NULL);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, approval_reason = v_reason,
         attempts = g.attempts - 1, assigned_worker = g.assignment, session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN QUERY SELECT false, v_reason;
END
$$;

-- An expired lease comes back after the pause of a failed attempt: base doubled per attempt, half of
-- it jitter. What crashes its worker does not come back at once, in front of everybody else.
INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('expiry_base_seconds', 30, 'seconds', 'a task whose lease expired waits for half to all of this; twice that after each further attempt'),
  ('expiry_cap_seconds', 3600, 'seconds', 'it waits at most so long');
CREATE FUNCTION juggernaut.pause_after(p_attempts integer) RETURNS interval
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT make_interval(secs => least(juggernaut.threshold('expiry_base_seconds') * 2 ^ greatest(p_attempts - 1, 0),
                                     juggernaut.threshold('expiry_cap_seconds'))::float8 * (0.5 + random() / 2))
$$;

CREATE OR REPLACE FUNCTION juggernaut.sweep_v1() RETURNS jsonb
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
           error_message = CASE WHEN g.attempts < g.max_attempts THEN format('lease_expired: the lease of %s ended without an answer', t.assigned_worker)
                                ELSE format('lease_expired: %s attempts ended without an answer, the last one with %s', g.attempts, t.assigned_worker) END,
           assigned_worker = g.assignment,
           run_after = CASE WHEN g.attempts < g.max_attempts THEN clock_timestamp() + juggernaut.pause_after(g.attempts) END,
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

-- Must always be empty. juggernaut.decisions holds what was said since people were asked for the
-- last time; the view before this one read all rounds, so an early vote still counted.
CREATE OR REPLACE VIEW public.law_violations AS
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
  SELECT 'tainted work above low completed without approval', t.id, t.risk_level
    FROM public.governance_tasks t
   WHERE t.status = 'completed' AND t.tainted AND t.risk_level <> 'low'
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

-- A key blocks others also while its task is finished; the unique index knows open tasks only, so
-- an insert with a key walked the whole table.
CREATE INDEX tasks_dedupe_key ON public.governance_tasks (dedupe_key) WHERE dedupe_key IS NOT NULL;
