-- What people do and see: functions and views of the public contract.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.person_only(p_what text) RETURNS void
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() NOT IN ('approver', 'operator') THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not %s: a person does that', juggernaut.acting(), p_what));
  END IF;
END
$$;

CREATE FUNCTION juggernaut.known_task(p_id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM public.governance_tasks WHERE id = p_id) THEN
    PERFORM juggernaut.refuse('JG001', format('there is no task %s', p_id), 'SELECT id, title FROM task_board');
  END IF;
END
$$;

CREATE FUNCTION public.approve_task(id uuid, note text DEFAULT 'approved', digest text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_open text;
BEGIN
  PERFORM juggernaut.known_task(approve_task.id);
  SELECT a.digest INTO v_open FROM public.approvals a WHERE a.task_id = approve_task.id AND a.status = 'pending' FOR UPDATE;
  IF v_open IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no open approval request', approve_task.id), 'SELECT * FROM pending_approvals');
  END IF;
  IF approve_task.digest IS NOT NULL AND approve_task.digest <> v_open THEN
    PERFORM juggernaut.refuse('JG001', format('the plan changed: its digest is %s now', v_open), 'read it again in pending_approvals');
  END IF;
  UPDATE public.governance_tasks t SET status = 'pending', approved_by = coalesce(approve_task.note, 'approved')
   WHERE t.id = approve_task.id AND t.status = 'waiting_approval';
  RETURN (SELECT CASE t.status WHEN 'pending' THEN 'approved' ELSE 'one more person has to approve' END
            FROM public.governance_tasks t WHERE t.id = approve_task.id);
END
$$;

CREATE FUNCTION public.reject_task(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM juggernaut.known_task(reject_task.id);
  UPDATE public.governance_tasks t SET status = 'rejected', error_message = coalesce(nullif(btrim(reject_task.reason), ''), 'rejected')
   WHERE t.id = reject_task.id AND t.status = 'waiting_approval';
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s does not wait for an approval', reject_task.id), 'SELECT cancel_task(id, reason)');
  END IF;
  RETURN 'rejected';
END
$$;

CREATE FUNCTION public.cancel_task(id uuid, reason text DEFAULT 'cancelled') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_status text;
BEGIN
  PERFORM juggernaut.person_only('cancel a task');
  PERFORM juggernaut.known_task(cancel_task.id);
  UPDATE public.governance_tasks t SET status = 'cancelled', error_message = left(cancel_task.reason, 4000)
   WHERE t.id = cancel_task.id AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled') RETURNING t.status INTO v_status;
  RETURN coalesce(v_status, 'already ' || (SELECT t.status FROM public.governance_tasks t WHERE t.id = cancel_task.id));
END
$$;

CREATE FUNCTION public.retry_task(id uuid, note text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_status text;
BEGIN
  PERFORM juggernaut.person_only('retry a task');
  PERFORM juggernaut.known_task(retry_task.id);
  UPDATE public.governance_tasks t SET status = 'pending' WHERE t.id = retry_task.id AND t.status IN ('failed', 'blocked')
    RETURNING t.status INTO v_status;
  IF v_status IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s: only a failed or blocked task can be tried again', retry_task.id,
                              (SELECT t.status FROM public.governance_tasks t WHERE t.id = retry_task.id)));
  END IF;
  UPDATE public.goals g SET status = 'active', outcome = NULL, completed_at = NULL
   WHERE g.status = 'failed' AND g.id = (SELECT t.goal_id FROM public.governance_tasks t WHERE t.id = retry_task.id);
  UPDATE public.alerts SET resolved_at = clock_timestamp() WHERE kind = 'task_failed' AND subject = retry_task.id::text AND resolved_at IS NULL;
  PERFORM juggernaut.record_event('task.retry', retry_task.id::text, NULL, jsonb_build_object('note', retry_task.note));
  RETURN v_status;
END
$$;

CREATE FUNCTION public.accept_criterion(task_id uuid, number integer, note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM juggernaut.person_only('accept a criterion');
  IF juggernaut.acting() = (SELECT t.created_by FROM public.governance_tasks t WHERE t.id = accept_criterion.task_id)
     AND juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', 'who created the task cannot accept its criteria');
  END IF;
  UPDATE juggernaut.criteria c SET accepted_by = juggernaut.acting(), accepted_note = left(accept_criterion.note, 2000)
   WHERE c.task_id = accept_criterion.task_id AND c.number = accept_criterion.number;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no criterion %s', accept_criterion.task_id, accept_criterion.number));
  END IF;
  PERFORM juggernaut.record_event('criterion.accepted', accept_criterion.task_id::text, NULL,
    jsonb_build_object('number', accept_criterion.number, 'note', accept_criterion.note));
  UPDATE public.governance_tasks t SET status = 'pending' WHERE t.id = accept_criterion.task_id AND t.status = 'blocked';
  RETURN 'accepted';
END
$$;

CREATE FUNCTION public.add_goal(title text, description text DEFAULT '', repo text DEFAULT NULL, budget_usd numeric DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_id uuid;
BEGIN
  PERFORM juggernaut.person_only('add a goal');
  INSERT INTO public.goals (title, description, repo, budget_usd, created_by)
    VALUES (add_goal.title, coalesce(add_goal.description, ''), add_goal.repo, add_goal.budget_usd, juggernaut.acting()) RETURNING id INTO v_id;
  RETURN v_id;
END
$$;

CREATE FUNCTION juggernaut.plan_goal(g public.goals, p_payload jsonb) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  INSERT INTO public.governance_tasks (goal_id, title, description, task_type, priority, repo, payload)
    VALUES (g.id, left('Plan: ' || g.title, 300), g.description, 'planning', 'high', g.repo, p_payload) RETURNING id
$$;

CREATE FUNCTION juggernaut.after_goal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.budget_usd IS NOT NULL THEN
      INSERT INTO public.budgets (scope, cap_usd) VALUES ('goal:' || NEW.id, NEW.budget_usd);
    END IF;
    PERFORM juggernaut.record_event('goal.created', NEW.id::text, NULL, jsonb_build_object('title', NEW.title));
    PERFORM juggernaut.plan_goal(NEW, '{}');
  ELSIF NEW.status <> OLD.status THEN
    PERFORM juggernaut.record_event('goal.' || NEW.status, NEW.id::text, jsonb_build_object('status', OLD.status), NEW.outcome);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER follow_goal AFTER INSERT OR UPDATE ON public.goals FOR EACH ROW EXECUTE FUNCTION juggernaut.after_goal();

CREATE FUNCTION public.cancel_goal(id uuid, reason text DEFAULT 'cancelled') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  n integer;
BEGIN
  PERFORM juggernaut.person_only('cancel a goal');
  UPDATE public.goals g SET status = 'cancelled', completed_at = clock_timestamp(), outcome = jsonb_build_object('reason', cancel_goal.reason)
   WHERE g.id = cancel_goal.id AND g.status = 'active';
  UPDATE public.governance_tasks t SET status = 'cancelled', error_message = left(cancel_goal.reason, 4000)
   WHERE t.goal_id = cancel_goal.id AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;

CREATE FUNCTION public.pause_swarm(scope text DEFAULT 'all', reason text DEFAULT 'paused') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.person_only('pause');
  INSERT INTO public.controls (scope, reason, paused_by) VALUES (pause_swarm.scope, pause_swarm.reason, juggernaut.acting())
    ON CONFLICT ON CONSTRAINT controls_pkey DO UPDATE SET reason = excluded.reason, paused_by = excluded.paused_by, paused_at = clock_timestamp();
  PERFORM juggernaut.record_event('swarm.paused', pause_swarm.scope, NULL, jsonb_build_object('reason', pause_swarm.reason));
  RETURN pause_swarm.scope;
END
$$;

CREATE FUNCTION public.resume_swarm(scope text DEFAULT 'all') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.person_only('resume');
  DELETE FROM public.controls c WHERE c.scope = resume_swarm.scope;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM juggernaut.record_event('swarm.resumed', resume_swarm.scope, NULL, NULL);
  PERFORM pg_notify('juggernaut_work', '');
  RETURN true;
END
$$;

CREATE FUNCTION public.resolve_alert(id bigint, note text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM juggernaut.person_only('resolve an alert');
  UPDATE public.alerts a SET resolved_at = clock_timestamp() WHERE a.id = resolve_alert.id AND a.resolved_at IS NULL;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM juggernaut.record_event('alert.resolved', resolve_alert.id::text, NULL, jsonb_build_object('note', resolve_alert.note));
  RETURN true;
END
$$;

CREATE FUNCTION public.grant_capability(worker_type text, task_type text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not grant: an operator does that', juggernaut.acting()));
  END IF;
  IF NOT EXISTS (SELECT FROM juggernaut.task_types y WHERE y.task_type = grant_capability.task_type) THEN
    PERFORM juggernaut.refuse('JG001', format('unknown task_type %L', grant_capability.task_type), 'SELECT * FROM juggernaut.task_types');
  END IF;
  INSERT INTO juggernaut.grants (worker_type, task_type, granted_by)
    VALUES (grant_capability.worker_type, grant_capability.task_type, juggernaut.acting()) ON CONFLICT DO NOTHING;
  PERFORM juggernaut.record_event('capability.granted', grant_capability.worker_type, NULL, jsonb_build_object('task_type', grant_capability.task_type));
  RETURN true;
END
$$;

CREATE FUNCTION public.revoke_capability(worker_type text, task_type text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not revoke: an operator does that', juggernaut.acting()));
  END IF;
  DELETE FROM juggernaut.grants g WHERE g.worker_type = revoke_capability.worker_type AND g.task_type = revoke_capability.task_type;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM juggernaut.record_event('capability.revoked', revoke_capability.worker_type, NULL, jsonb_build_object('task_type', revoke_capability.task_type));
  RETURN true;
END
$$;

CREATE FUNCTION public.set_budget(scope text, cap_usd numeric) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_old numeric;
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not set a budget: an operator does that', juggernaut.acting()));
  END IF;
  SELECT b.cap_usd INTO v_old FROM public.budgets b WHERE b.scope = set_budget.scope FOR UPDATE;
  INSERT INTO public.budgets (scope, cap_usd, period_start)
    VALUES (set_budget.scope, set_budget.cap_usd, CASE WHEN set_budget.scope = 'day' THEN (clock_timestamp() AT TIME ZONE 'UTC')::date END)
    ON CONFLICT ON CONSTRAINT budgets_pkey DO UPDATE SET cap_usd = excluded.cap_usd;
  PERFORM juggernaut.record_event('budget.set', set_budget.scope, jsonb_build_object('cap_usd', v_old), jsonb_build_object('cap_usd', set_budget.cap_usd));
  UPDATE public.governance_tasks t SET status = 'pending' WHERE t.status = 'blocked' AND t.blocked_reason LIKE 'purse ' || set_budget.scope || ':%';
  RETURN set_budget.cap_usd;
END
$$;

CREATE FUNCTION public.accept_recommendation(id bigint, note text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  r public.recommendations;
  v_goal uuid;
BEGIN
  PERFORM juggernaut.person_only('accept a recommendation');
  SELECT * INTO r FROM public.recommendations x WHERE x.id = accept_recommendation.id FOR UPDATE;
  IF r.id IS NULL OR r.status <> 'proposed' THEN
    PERFORM juggernaut.refuse('JG001', format('recommendation %s is %s', accept_recommendation.id, coalesce(r.status, 'not there')));
  END IF;
  v_goal := public.add_goal(r.title, r.rationale, (SELECT t.repo FROM public.governance_tasks t WHERE t.id = r.task_id));
  UPDATE public.recommendations x SET status = 'accepted', decided_by = juggernaut.acting(), decided_at = clock_timestamp(),
         decision_note = accept_recommendation.note, goal_id = v_goal WHERE x.id = r.id;
  RETURN v_goal;
END
$$;

CREATE FUNCTION public.decline_recommendation(id bigint, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM juggernaut.person_only('decline a recommendation');
  UPDATE public.recommendations x SET status = 'declined', decided_by = juggernaut.acting(), decided_at = clock_timestamp(),
         decision_note = decline_recommendation.reason WHERE x.id = decline_recommendation.id AND x.status = 'proposed';
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('recommendation %s is not open', decline_recommendation.id), 'SELECT * FROM recommendations');
  END IF;
  RETURN 'declined';
END
$$;
