-- Who waits for a need learns of its end, an approval is worth what was approved and no older than a
-- permission may be, and what completes a task is its own.
SET LOCAL ROLE juggernaut_owner;

-- What becomes of those that wait for tasks which will never complete: each by its own decision, and
-- level by level, because a trigger that fires itself down a long chain runs out of stack.
CREATE FUNCTION juggernaut.follow_dead(p_dead uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_dead uuid[] := p_dead;
BEGIN
  WHILE cardinality(v_dead) > 0 LOOP
    UPDATE public.governance_tasks t
       SET status = 'blocked', fence = t.fence + 1, blocked_at = clock_timestamp(), blocked_owner = 'a person',
           blocked_reason = format('needs task %s, which is %s: retry_task or cancel_task it', n.id, n.status)
      FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id
     WHERE d.needs_id = ANY (v_dead) AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting' AND t.on_failed_need = 'block';
    WITH met AS (
      UPDATE juggernaut.dependencies d SET met = true FROM public.governance_tasks t
       WHERE d.needs_id = ANY (v_dead) AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting' AND t.on_failed_need = 'run' RETURNING d.task_id
    ), freed AS (
      SELECT m.task_id, count(*)::integer AS needs FROM met m GROUP BY m.task_id
    )
    UPDATE public.governance_tasks t SET waits = t.waits - f.needs, status = CASE WHEN t.waits = f.needs THEN 'pending' ELSE t.status END
      FROM freed f WHERE t.id = f.task_id;
    WITH fell AS (
      UPDATE public.governance_tasks t
         SET status = 'failed', fence = t.fence + 1, error_message = format('needs task %s, which is %s', n.id, n.status)
        FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id
       WHERE d.needs_id = ANY (v_dead) AND NOT d.met AND t.id = d.task_id AND t.status = 'waiting' AND t.on_failed_need = 'fail' RETURNING t.id
    )
    SELECT array_agg(f.id) INTO v_dead FROM fell f;
  END LOOP;
END
$$;

-- The same as before; whoever is tried again frees only those that nothing else holds back.
CREATE OR REPLACE FUNCTION juggernaut.after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  dependant uuid;
BEGIN
  IF NEW.acceptance_criteria IS DISTINCT FROM OLD.acceptance_criteria THEN
    IF EXISTS (SELECT FROM juggernaut.verdicts WHERE task_id = NEW.id) THEN
      PERFORM juggernaut.refuse('JG001', 'criteria that were judged already cannot change', 'cancel the task and add a new one');
    END IF;
    DELETE FROM juggernaut.criteria WHERE task_id = NEW.id;
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT NEW.id, c.number, c.criterion, c.check_argv FROM juggernaut.parse_criteria(NEW.acceptance_criteria) c;
  END IF;
  IF NEW.status = OLD.status THEN
    RETURN NULL;
  END IF;
  PERFORM juggernaut.record_event('task.' || NEW.status, NEW.id::text,
    jsonb_build_object('status', OLD.status, 'fence', OLD.fence),
    jsonb_strip_nulls(jsonb_build_object('status', NEW.status, 'fence', NEW.fence, 'worker', NEW.assigned_worker, 'error', left(NEW.error_message, 500))));
  IF NEW.status IN ('cancelled', 'rejected', 'failed') THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp() WHERE task_id = NEW.id AND status = 'pending';
  END IF;
  IF NEW.status = 'completed' THEN
    FOR dependant IN UPDATE juggernaut.dependencies SET met = true WHERE needs_id = NEW.id AND NOT met RETURNING task_id LOOP
      UPDATE public.governance_tasks SET waits = waits - 1,
             status = CASE WHEN status = 'waiting' AND waits = 1 THEN 'pending' ELSE status END
       WHERE id = dependant;
    END LOOP;
  ELSIF NEW.status IN ('failed', 'rejected', 'cancelled') THEN
    IF NOT (OLD.status = 'waiting' AND NEW.status = 'failed' AND NEW.fence = OLD.fence + 1) THEN -- that is follow_dead, which goes on by itself
      PERFORM juggernaut.follow_dead(ARRAY[NEW.id]);
    END IF;
  ELSIF OLD.status = 'failed' THEN
    -- What else its dependants need may be ending at this moment.
    PERFORM FROM public.governance_tasks n WHERE n.id = ANY (ARRAY(
        SELECT o.needs_id FROM juggernaut.dependencies d JOIN public.governance_tasks t ON t.id = d.task_id AND t.status = 'blocked' AND t.waits > 0
          JOIN juggernaut.dependencies o ON o.task_id = d.task_id AND NOT o.met
         WHERE d.needs_id = NEW.id AND NOT d.met AND o.needs_id <> NEW.id)) ORDER BY n.id FOR SHARE;
    UPDATE public.governance_tasks t SET status = 'waiting', fence = t.fence + 1
      FROM juggernaut.dependencies d
     WHERE d.needs_id = NEW.id AND NOT d.met AND t.id = d.task_id AND t.status = 'blocked' AND t.waits > 0;
    PERFORM juggernaut.follow_dead(ARRAY(
      SELECT DISTINCT n.id FROM juggernaut.dependencies d JOIN juggernaut.dependencies o ON o.task_id = d.task_id AND NOT o.met
        JOIN public.governance_tasks n ON n.id = o.needs_id AND n.status IN ('failed', 'rejected', 'cancelled')
       WHERE d.needs_id = NEW.id AND NOT d.met));
  END IF;
  RETURN NULL;
END
$$;

-- As before, and what is blocked goes on like what failed: when its needs can complete.
CREATE OR REPLACE FUNCTION juggernaut.guard_move(old public.governance_tasks, new public.governance_tasks, kind text, certified boolean)
RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  answer text;
  need record;
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.transitions WHERE old_status = old.status AND new_status = new.status) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s cannot go from %s to %s', old.id, old.status, new.status));
  END IF;
  IF old.status = 'waiting_approval' AND new.status IN ('pending', 'rejected') AND NOT certified THEN
    answer := juggernaut.decide(old.id, CASE new.status WHEN 'rejected' THEN 'rejected' ELSE 'approved' END,
                                CASE new.status WHEN 'rejected' THEN new.error_message ELSE new.approved_by END);
    IF answer = 'more' THEN
      new.status := old.status;
      RAISE NOTICE 'approved by %, one more person has to approve', juggernaut.acting();
    ELSE
      new.approved_by := juggernaut.acting();
      new.approved_at := clock_timestamp();
      new.completed_at := CASE WHEN answer = 'rejected' THEN clock_timestamp() END;
      new.error_message := CASE WHEN answer = 'rejected' THEN coalesce(new.error_message, 'rejected by ' || juggernaut.acting()) END;
    END IF;
    RETURN new;
  END IF;
  IF kind = 'worker' AND NOT certified THEN
    IF old.status = 'pending' AND new.status = 'in_progress' THEN
      IF old.confirm_pull THEN
        PERFORM juggernaut.refuse('JG001', format('task %s waits for the verifier: its pull request is merged or closed', old.id));
      END IF;
      RETURN juggernaut.raw_claim(old, new);
    ELSIF old.status = 'in_progress' AND new.status IN ('completed', 'failed', 'waiting_approval', 'pending') THEN
      RETURN juggernaut.raw_finish(old, new);
    END IF;
    PERFORM juggernaut.refuse('JG001', format('a worker may not move task %s from %s to %s', old.id, old.status, new.status));
  END IF;
  IF NOT certified AND (old.status = 'in_progress' OR new.status IN ('in_progress', 'completed', 'waiting', 'waiting_approval', 'awaiting_merge')) THEN
    IF new.status <> 'cancelled' THEN
      PERFORM juggernaut.refuse('JG001', format('a move from %s to %s is made by the worker that holds the task', old.status, new.status),
                                'a person may approve, reject, retry (failed -> pending), unblock (blocked -> pending) or cancel');
    END IF;
  END IF;
  IF new.status = 'cancelled' THEN
    UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = 'cancelled' WHERE task_id = old.id AND ended_at IS NULL;
    new.fence := old.fence + 1; -- whoever works on it now holds nothing any more
    new.session_id := NULL; new.lease_login := NULL; new.lease_hash := NULL; new.lease_until := NULL;
  END IF;
  IF old.status = 'awaiting_merge' AND new.status <> 'completed' THEN
    new.evidence_id := NULL; -- what was reported stays in juggernaut.evidence; it proves nothing any more
  END IF;
  IF old.status = 'failed' AND new.status = 'pending' THEN
    new.attempts := 0; new.run_after := NULL; new.completed_at := NULL;
  END IF;
  IF old.status IN ('failed', 'blocked') AND new.status = 'pending' AND new.waits > 0 THEN
    -- Locked: a need that is ending at this moment would not see that this one waits for it again.
    SELECT n.id, n.status INTO need FROM (
        SELECT g.id, g.status FROM public.governance_tasks g
         WHERE g.id = ANY (ARRAY(SELECT d.needs_id FROM juggernaut.dependencies d WHERE d.task_id = old.id AND NOT d.met))
         ORDER BY g.id OFFSET 0 FOR SHARE) n
     WHERE n.status IN ('failed', 'rejected', 'cancelled') LIMIT 1;
    IF need.id IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('task %s needs task %s, which is %s', old.id, need.id, need.status),
                                CASE need.status WHEN 'failed' THEN 'retry that one first' ELSE 'cancel_task this one, and add it again without that need' END);
    END IF;
    new.status := 'waiting';
  END IF;
  IF old.status = 'blocked' THEN
    new.blocked_reason := NULL; new.blocked_owner := NULL; new.blocked_at := NULL;
  END IF;
  IF new.status IN ('cancelled', 'failed', 'rejected') THEN
    new.completed_at := coalesce(new.completed_at, clock_timestamp());
  END IF;
  IF new.status = 'completed' AND EXISTS (
       SELECT FROM juggernaut.criteria c LEFT JOIN juggernaut.verdicts v
         ON v.task_id = c.task_id AND v.number = c.number AND v.fence = new.fence
        WHERE c.task_id = new.id AND v.verdict IS DISTINCT FROM 'met') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has a criterion without the verdict "met"', new.id));
  END IF;
  RETURN new;
END
$$;

CREATE OR REPLACE FUNCTION public.retry_task(id uuid, note text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_status text;
BEGIN
  PERFORM juggernaut.person_only('retry a task');
  PERFORM juggernaut.known_task(retry_task.id);
  -- Needs before who needs them, as a completion locks them.
  PERFORM FROM public.governance_tasks n
    WHERE n.id = ANY (ARRAY(SELECT d.needs_id FROM juggernaut.dependencies d WHERE d.task_id = retry_task.id AND NOT d.met)) ORDER BY n.id FOR SHARE;
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

-- As before; a task that is blocked by its needs stays so.
CREATE OR REPLACE FUNCTION public.accept_criterion(task_id uuid, number integer, note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
BEGIN
  PERFORM juggernaut.person_only('accept a criterion');
  SELECT * INTO t FROM public.governance_tasks x WHERE x.id = accept_criterion.task_id FOR NO KEY UPDATE;
  IF t.status IN ('completed', 'rejected', 'cancelled') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', t.id, t.status));
  END IF;
  IF coalesce(btrim(accept_criterion.note), '') = '' THEN
    PERFORM juggernaut.refuse('JG001', 'accepting a criterion needs a note: say what you looked at');
  END IF;
  IF juggernaut.acting_kind() <> 'operator' AND (juggernaut.acting() = t.created_by
     OR EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = t.id AND e.login = session_user)) THEN
    PERFORM juggernaut.refuse('JG001', 'who created or changed the task cannot accept its criteria');
  END IF;
  UPDATE juggernaut.criteria c SET accepted_by = juggernaut.acting(), accepted_note = left(accept_criterion.note, 2000)
   WHERE c.task_id = accept_criterion.task_id AND c.number = accept_criterion.number;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no criterion %s', accept_criterion.task_id, accept_criterion.number));
  END IF;
  PERFORM juggernaut.record_event('criterion.accepted', accept_criterion.task_id::text, NULL,
    jsonb_build_object('number', accept_criterion.number, 'note', left(accept_criterion.note, 2000)));
  UPDATE public.governance_tasks x SET status = 'pending' WHERE x.id = accept_criterion.task_id AND x.status = 'blocked' AND x.waits = 0;
  RETURN 'accepted';
END
$$;

-- What follows from the content of a new task: criteria, dependencies, purse.
CREATE OR REPLACE FUNCTION juggernaut.follow_content(t public.governance_tasks) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  unmet integer;
BEGIN
  -- A task that waits is placed when its needs complete: what cannot be placed must not fail them.
  IF juggernaut.content_fault(t) IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', juggernaut.content_fault(t));
  END IF;
  IF t.acceptance_criteria IS NOT NULL THEN
    INSERT INTO juggernaut.criteria (task_id, number, text, check_argv)
      SELECT t.id, c.number, c.criterion, c.check_argv FROM juggernaut.parse_criteria(t.acceptance_criteria) c;
  END IF;
  IF cardinality(t.depends_on) > 0 THEN
    INSERT INTO juggernaut.dependencies (task_id, needs_id, met)
      SELECT t.id, n.id, n.status = 'completed'
        FROM (SELECT g.id, g.status FROM public.governance_tasks g WHERE g.id = ANY (t.depends_on) ORDER BY g.id FOR SHARE) n;
    -- A need may have completed between the count and the lock.
    SELECT count(*) FILTER (WHERE NOT d.met) INTO unmet FROM juggernaut.dependencies d WHERE d.task_id = t.id;
    UPDATE public.governance_tasks g SET waits = unmet,
           status = CASE WHEN unmet = 0 AND g.status = 'waiting' THEN 'pending' ELSE g.status END
     WHERE g.id = t.id AND g.waits <> unmet;
    -- Or it may have come to another end.
    PERFORM juggernaut.follow_dead(ARRAY(
      SELECT n.id FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id
       WHERE d.task_id = t.id AND NOT d.met AND n.status IN ('failed', 'rejected', 'cancelled')));
  END IF;
  IF t.budget_usd IS NOT NULL THEN
    INSERT INTO public.budgets (scope, cap_usd) VALUES ('task:' || t.id, t.budget_usd);
  END IF;
END
$$;

-- Who waits since before for what ended, waits no longer.
SELECT juggernaut.follow_dead(ARRAY(
  SELECT DISTINCT n.id FROM public.governance_tasks t JOIN juggernaut.dependencies d ON d.task_id = t.id AND NOT d.met
    JOIN public.governance_tasks n ON n.id = d.needs_id AND n.status IN ('failed', 'rejected', 'cancelled') WHERE t.status = 'waiting'));

-- Rows of before keep to the new bounds: what was to wait for ever waits as long as dates go.
UPDATE public.governance_tasks
   SET run_after = CASE run_after WHEN 'infinity' THEN '9999-12-31 00:00+00' WHEN '-infinity' THEN NULL ELSE run_after END,
       deadline = CASE WHEN isfinite(deadline) THEN deadline END, assigned_worker = left(assigned_worker, 255)
 WHERE NOT isfinite(run_after) OR NOT isfinite(deadline) OR length(assigned_worker) > 255;
-- As before, and what a lane and a claim key are made of.
CREATE OR REPLACE FUNCTION juggernaut.content_fault(t public.governance_tasks) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE
  WHEN length(btrim(t.title)) NOT BETWEEN 1 AND 300 THEN format('title has %s characters, and may have 1 to 300', length(btrim(t.title)))
  WHEN length(t.description) > 100000 THEN format('description has %s characters, and may have 100000', length(t.description))
  WHEN length(t.acceptance_criteria) > 60000 THEN format('acceptance_criteria has %s characters, and may have 60000', length(t.acceptance_criteria))
  WHEN length(t.dedupe_key) > 300 THEN 'dedupe_key has more than 300 characters'
  WHEN length(t.concurrency_key) > 300 THEN 'concurrency_key has more than 300 characters'
  WHEN t.max_attempts NOT BETWEEN 1 AND 20 THEN format('max_attempts is %s, and may be 1 to 20', t.max_attempts)
  WHEN t.timeout_seconds NOT BETWEEN 1 AND 86400 THEN format('timeout_seconds is %s, and may be 1 to 86400', t.timeout_seconds)
  WHEN t.budget_usd < 0 THEN format('budget_usd is %s, and may not be below 0', t.budget_usd)
  WHEN jsonb_typeof(t.payload) <> 'object' THEN 'payload is not a JSON object'
  WHEN pg_column_size(t.payload) > 1048576 THEN format('payload has %s bytes, and may have 1048576', pg_column_size(t.payload))
  WHEN t.on_failed_need NOT IN ('block', 'fail', 'run') THEN format('unknown on_failed_need %L: use block, fail or run', t.on_failed_need)
  WHEN t.attempts < 0 THEN 'attempts is below 0'
  WHEN t.waits < 0 THEN 'waits is below 0'
  WHEN length(t.error_message) > 16384 THEN format('error_message has %s characters, and may have 16384', length(t.error_message))
  WHEN length(t.completion_evidence) > 65536 THEN format('completion_evidence has %s characters, and may have 65536', length(t.completion_evidence))
  WHEN length(t.assigned_worker) > 255 THEN format('assigned_worker has %s characters, and may have 255', length(t.assigned_worker))
  WHEN NOT isfinite(t.run_after) THEN format('run_after is %s: name a date, however far', t.run_after)
  WHEN NOT isfinite(t.deadline) THEN format('deadline is %s: name a date, or none', t.deadline)
END;

CREATE OR REPLACE FUNCTION juggernaut.lane_of(p_type text, p_assignment text, p_priority text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  found_lane integer;
BEGIN
  SELECT l.lane INTO found_lane FROM juggernaut.lanes l
   WHERE l.task_type = p_type AND l.assignment = coalesce(p_assignment, '') AND l.priority = p_priority;
  IF found_lane IS NULL THEN
    IF length(p_assignment) > 255 THEN
      PERFORM juggernaut.refuse('JG001', format('assigned_worker has %s characters, and may have 255', length(p_assignment)));
    END IF;
    INSERT INTO juggernaut.lanes (task_type, assignment, priority) VALUES (p_type, coalesce(p_assignment, ''), p_priority)
    ON CONFLICT (task_type, assignment, priority) DO UPDATE SET task_type = excluded.task_type
    RETURNING lane INTO found_lane;
  END IF;
  RETURN found_lane;
END
$$;

-- An approval is good for the attempts that begin within approval_seconds of it, gate or no gate.
CREATE OR REPLACE FUNCTION juggernaut.approved(t public.governance_tasks, p_gate text, p_digest text DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.status = 'approved'
                    AND a.need >= juggernaut.approvers_of(t) AND a.digest = coalesce(p_digest, a.digest)
                    AND a.decided_at > coalesce((SELECT x.started_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence),
                                                clock_timestamp()) - juggernaut.seconds('approval_seconds'))
$$;

-- Who changed what is asked for is a proposer, too. (send_back adds feedback; that is no edit.) An
-- attempt that works on what was approved before is over: its task is read, planned and asked for anew.
CREATE OR REPLACE FUNCTION juggernaut.after_edit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  INSERT INTO juggernaut.editors (task_id, login) VALUES (NEW.id, session_user) ON CONFLICT DO NOTHING;
  IF OLD.status = 'in_progress' AND NEW.status = 'in_progress' THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
     WHERE task_id = NEW.id AND status IN ('pending', 'approved');
    IF FOUND THEN
      PERFORM juggernaut.end_attempt(NEW.id, NEW.fence, 'released', 'changed', format('%s changed the task after it was approved', session_user));
      UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1, attempts = greatest(g.attempts - 1, 0), run_after = NULL,
             assigned_worker = g.assignment, approved_by = NULL, approved_at = NULL,
             session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
       WHERE g.id = NEW.id;
    END IF;
  END IF;
  RETURN NULL;
END
$$;

-- Evidence that points at tasks, a report or recommendations points at what came of this very task.
CREATE FUNCTION juggernaut.foreign_fact(p_task uuid, p_type text, p_facts jsonb) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT f.fact
    FROM juggernaut.task_types y CROSS JOIN LATERAL unnest(y.required_facts) AS f (fact)
   CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(p_facts -> f.fact) WHEN 'array' THEN p_facts -> f.fact
                                                     ELSE jsonb_build_array(p_facts -> f.fact) END) AS e (named)
   WHERE y.task_type = p_type AND CASE f.fact
     WHEN 'task_ids' THEN NOT EXISTS (SELECT FROM public.governance_tasks c WHERE c.parent_task_id = p_task AND c.id::text = e.named)
     WHEN 'report_id' THEN NOT EXISTS (SELECT FROM public.reports r WHERE r.task_id = p_task AND r.id::text = e.named)
     WHEN 'recommendation_ids' THEN NOT EXISTS (SELECT FROM public.recommendations r WHERE r.task_id = p_task AND r.id::text = e.named)
     ELSE false END
   LIMIT 1
$$;

-- The last line, as before, and whose the facts are. Types whose facts name no rows are not asked.
CREATE OR REPLACE FUNCTION juggernaut.guard_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_foreign text;
BEGIN
  IF juggernaut.approvers_of(NEW) > 0 AND NOT juggernaut.approved(NEW, 'plan') AND NOT juggernaut.approved(NEW, 'diff') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) cannot be completed: neither plan nor diff was approved', NEW.id, NEW.risk_level),
                              'pass the plan gate first');
  END IF;
  IF NEW.task_type NOT IN ('code', 'test', 'verification', 'documentation', 'command') THEN
    SELECT juggernaut.foreign_fact(e.task_id, NEW.task_type, e.facts) INTO v_foreign
      FROM juggernaut.evidence e WHERE e.id = NEW.evidence_id AND e.source = 'verifier';
    IF v_foreign IS NOT NULL THEN
      PERFORM juggernaut.refuse('JG001', format('evidence for task %s: its %s names what is not of this task', NEW.id, v_foreign));
    END IF;
  END IF;
  RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER guard_words_end BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.status = 'completed' AND OLD.status <> 'completed'
        AND (NEW.requires_approval OR NEW.tainted OR NEW.risk_level NOT IN ('low', 'medium')
             OR NEW.task_type NOT IN ('code', 'test', 'verification', 'documentation', 'command')))
  EXECUTE FUNCTION juggernaut.guard_end();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_words_end;

-- As before; a plan without tasks is one that failed.
CREATE OR REPLACE FUNCTION juggernaut.settle_goals_v1() RETURNS jsonb
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
    ELSIF p.status <> 'completed' OR k.tasks = 0 OR (k.moving = 0 AND k.done < k.tasks) THEN
      why_failed := coalesce(k.errors, CASE WHEN p.status = 'completed' AND k.tasks = 0 THEN 'the plan has no tasks' END,
                             format('%s: %s', p.status, p.error_message), 'tasks were cancelled');
      UPDATE public.governance_tasks SET status = 'cancelled', fence = fence + 1, error_message = 'the goal goes on without it: ' || left(why_failed, 1000)
       WHERE goal_id = g.id AND status IN ('blocked', 'waiting');
      IF p.status = 'completed' AND (k.bad > 0 OR k.tasks = 0) AND g.replans < juggernaut.threshold('goal_replans') THEN
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

-- As before, and it looks at workers as a claim does: what they handle, and who of them is paused.
CREATE OR REPLACE FUNCTION juggernaut.why_row(t public.governance_tasks) RETURNS TABLE (reason text, owner text, deadline timestamptz)
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
  ELSIF t.status = 'awaiting_merge' AND EXISTS (SELECT FROM juggernaut.pull_watches w WHERE w.task_id = t.id AND w.waiting) THEN
    RETURN QUERY SELECT format('pull request #%s: %s', w.number, w.reason), w.owner, w.since + juggernaut.seconds('pull_wait_seconds')
      FROM juggernaut.pull_watches w WHERE w.task_id = t.id;
  ELSIF t.status = 'awaiting_merge' THEN
    RETURN QUERY SELECT format('%s reported a merge; the forge has not confirmed it yet', coalesce(t.assigned_worker, 'a worker')),
      'the swarm: an executor asks the forge'::text,
      coalesce((SELECT x.ended_at FROM juggernaut.attempts x WHERE x.task_id = t.id AND x.fence = t.fence), t.started_at)
        + juggernaut.seconds('merge_confirm_seconds');
  ELSIF EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id)) THEN
    RETURN QUERY SELECT format('paused (%s) by %s: %s', c.scope, c.paused_by, c.reason), 'a person: resume_swarm'::text, NULL::timestamptz
      FROM public.controls c WHERE c.scope IN ('all', 'type:' || t.task_type, 'goal:' || t.goal_id) LIMIT 1;
  ELSIF t.due_at > clock_timestamp() AND EXISTS (SELECT FROM juggernaut.footprints f WHERE f.task_id = t.id AND f.waits_for IS NOT NULL) THEN
    RETURN QUERY SELECT format('task %s "%s" works on the same files; tried again at %s', h.id, left(h.title, 60), to_char(t.due_at, 'HH24:MI:SS')),
      'that task'::text, t.due_at
      FROM juggernaut.footprints f JOIN public.governance_tasks h ON h.id = f.waits_for WHERE f.task_id = t.id;
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
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
                       AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles))) THEN
    RETURN QUERY SELECT format('no live worker%s handles task type %s', coalesce(' ' || t.assignment, ''), t.task_type),
      'an operator: start one that does'::text, NULL::timestamptz;
  ELSIF NOT EXISTS (SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
                     WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
                       AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
                       AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles))
                       AND NOT EXISTS (SELECT FROM public.controls c WHERE c.scope IN ('role:' || s.worker_type, 'worker:' || s.worker_id))) THEN
    RETURN QUERY SELECT format('every worker that could take it is paused: %s', string_agg(format('%s by %s: %s', c.scope, c.paused_by, c.reason), '; ' ORDER BY c.scope)),
      'a person: resume_swarm'::text, NULL::timestamptz
      FROM public.controls c WHERE EXISTS (
        SELECT FROM juggernaut.grants g JOIN juggernaut.sessions s ON s.worker_type = g.worker_type
         WHERE g.task_type = t.task_type AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()
           AND coalesce(t.assignment, s.worker_id) IN (s.worker_id, s.worker_type)
           AND (s.secret_hash IS NULL OR t.task_type = ANY (s.handles)) AND c.scope IN ('role:' || s.worker_type, 'worker:' || s.worker_id));
  ELSIF t.concurrency_key IS NOT NULL AND EXISTS (
      SELECT FROM public.governance_tasks h WHERE h.concurrency_key = t.concurrency_key AND h.lease_login IS NOT NULL) THEN
    RETURN QUERY SELECT format('another task with concurrency_key %s is in progress', t.concurrency_key), 'that task'::text, NULL::timestamptz;
  ELSE
    RETURN QUERY SELECT 'ready: waits for a free worker', 'the swarm'::text, t.deadline;
  END IF;
END
$$;

-- As before, and what waits for ever, and who approved their own words.
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
      OR (t.status = 'waiting_approval' AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'pending'))
  UNION ALL
  SELECT 'a lane says otherwise than its type or priority', NULL, format('lane %s: %s, %s', l.lane, l.task_type, l.priority)
    FROM juggernaut.lanes l JOIN juggernaut.task_types y USING (task_type) JOIN juggernaut.priorities q USING (priority)
   WHERE (l.risk_floor, l.weight_seconds) <> (y.risk_floor, q.weight_seconds)
      OR l.granted <> ARRAY(SELECT g.worker_type FROM juggernaut.grants g WHERE g.task_type = l.task_type ORDER BY 1)
  UNION ALL
  SELECT 'a session can do more than its worker says', NULL, format('session %s of %s', s.id, s.worker_id)
    FROM juggernaut.sessions s LEFT JOIN public.worker_registry w USING (worker_id)
   WHERE s.closed_at IS NULL AND s.handles <> '{}'
     AND (w.instance_id IS DISTINCT FROM s.id OR NOT w.capabilities @> to_jsonb(s.handles))
  UNION ALL
  SELECT 'waits for a task that will never complete', t.id, format('%s is %s', n.id, n.status)
    FROM public.governance_tasks t JOIN juggernaut.dependencies d ON d.task_id = t.id AND NOT d.met JOIN public.governance_tasks n ON n.id = d.needs_id
   WHERE t.status = 'waiting' AND n.status IN ('failed', 'rejected', 'cancelled')
  UNION ALL
  SELECT 'waits for nothing', t.id, t.title
    FROM public.governance_tasks t
   WHERE t.status = 'waiting' AND NOT EXISTS (
           SELECT FROM juggernaut.dependencies d JOIN public.governance_tasks n ON n.id = d.needs_id
            WHERE d.task_id = t.id AND NOT d.met AND n.status <> 'completed')
  UNION ALL
  SELECT 'approved by somebody who changed it', a.task_id, d.decided_by
    FROM public.approvals a JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
    JOIN juggernaut.editors e ON e.task_id = a.task_id AND e.login = d.decided_by
   WHERE a.status = 'approved';
