-- What people change is seen, what is final stays, and a word that names nothing is refused.
SET LOCAL ROLE juggernaut_owner;

-- Audit ------------------------------------------------------------------------------------------
-- As before; with a third argument only what a person does is kept, whatever the worker does there.
CREATE OR REPLACE FUNCTION juggernaut.audit_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  -- First argument: the columns that name the row. Second: columns too large or too busy to keep.
  names text[] := TG_ARGV[0]::text[];
  left_out text[] := TG_ARGV[1]::text[];
  named jsonb;
  old_row jsonb;
  new_row jsonb;
  old_part jsonb;
  new_part jsonb;
BEGIN
  IF TG_NARGS > 2 AND juggernaut.acting_kind() NOT IN ('approver', 'operator') THEN
    RETURN NULL;
  END IF;
  old_row := CASE WHEN TG_OP = 'INSERT' THEN '{}' ELSE to_jsonb(OLD) - left_out END;
  new_row := CASE WHEN TG_OP = 'DELETE' THEN '{}' ELSE to_jsonb(NEW) - left_out END;
  SELECT coalesce(jsonb_object_agg(k, old_row -> k) FILTER (WHERE old_row ? k), '{}'),
         coalesce(jsonb_object_agg(k, new_row -> k) FILTER (WHERE new_row ? k), '{}') INTO old_part, new_part
    FROM (SELECT jsonb_object_keys(old_row || new_row) AS k) x WHERE old_row -> k IS DISTINCT FROM new_row -> k;
  IF old_part = '{}' AND new_part = '{}' THEN
    RETURN NULL;
  END IF;
  named := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
  PERFORM juggernaut.record_event(format('%s.%s', TG_TABLE_NAME, lower(TG_OP)),
    (SELECT string_agg(named ->> n, ' ' ORDER BY o) FROM unnest(names) WITH ORDINALITY AS u (n, o)),
    nullif(old_part, '{}'), nullif(new_part, '{}'));
  RETURN NULL;
END
$$;

-- What a person writes into a task beside its content (audit_edit has that) and its status (each move
-- has an event). The guard calls it: a trigger on these columns would fire at each claim.
CREATE FUNCTION juggernaut.audit_hand(old public.governance_tasks, new public.governance_tasks) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  -- Of a move only what its own event lacks.
  names text[] := CASE WHEN new.status = old.status
    THEN ARRAY['run_after', 'error_message', 'approved_by', 'approved_at', 'approval_reason', 'assigned_worker', 'on_failed_need', 'attempts',
               'started_at', 'completed_at', 'completion_evidence', 'result', 'evidence_id', 'depth', 'confirm_pull', 'lease_until', 'session_id',
               'blocked_reason', 'blocked_owner', 'blocked_at', 'tainted']
    ELSE ARRAY['run_after', 'assigned_worker', 'on_failed_need', 'attempts', 'result', 'completion_evidence', 'evidence_id', 'depth', 'confirm_pull'] END;
  old_row jsonb := to_jsonb(old);
  new_row jsonb := to_jsonb(new);
  old_part jsonb;
  new_part jsonb;
BEGIN
  SELECT jsonb_object_agg(n, old_row -> n), jsonb_object_agg(n, new_row -> n) INTO old_part, new_part
    FROM unnest(names) AS n WHERE old_row -> n IS DISTINCT FROM new_row -> n;
  IF new_part IS NOT NULL THEN
    PERFORM juggernaut.record_event('governance_tasks.update', old.id::text, old_part, new_part);
  END IF;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.audit_hand(public.governance_tasks, public.governance_tasks) FROM PUBLIC;

-- As before, and: all of a final task is final, how a failed one ended stays, another type brings its
-- floor, no task may be tried less often than it was, and what a person writes by hand is an event.
CREATE OR REPLACE FUNCTION juggernaut.guard_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  kind text;
  floor text;
  rest public.governance_tasks;
  certified boolean := NEW.fence <> OLD.fence OR NEW.waits <> OLD.waits
                       OR (OLD.lease_login IS NOT NULL AND NEW.lease_login IS NULL);
  content boolean := (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.payload, NEW.repo)
                     IS DISTINCT FROM (OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.payload, OLD.repo);
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  IF NEW.id <> OLD.id OR NEW.created_by <> OLD.created_by OR NEW.created_at <> OLD.created_at OR NEW.fence < OLD.fence
     OR NEW.depends_on <> OLD.depends_on THEN
    PERFORM juggernaut.refuse('JG001', 'id, created_by, created_at and depends_on never change, and a fence only grows');
  END IF;
  IF OLD.status IN ('completed', 'rejected', 'cancelled') THEN
    rest := OLD;
    rest.waits := NEW.waits; -- its needs may still complete, and are counted
    IF NEW IS DISTINCT FROM rest THEN
      PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', OLD.id, OLD.status));
    END IF;
  ELSIF OLD.status = 'failed' AND NEW.status = 'failed'
        AND (NEW.error_message, NEW.completion_evidence, NEW.result, NEW.attempts, NEW.started_at, NEW.completed_at, NEW.run_after)
            IS DISTINCT FROM (OLD.error_message, OLD.completion_evidence, OLD.result, OLD.attempts, OLD.started_at, OLD.completed_at, OLD.run_after) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is failed, and how it ended does not change', OLD.id), 'SELECT retry_task(id)');
  END IF;
  IF juggernaut.content_fault(NEW) IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', juggernaut.content_fault(NEW));
  END IF;
  IF NEW.max_attempts < OLD.max_attempts AND NEW.max_attempts < OLD.attempts THEN
    PERFORM juggernaut.refuse('JG001', format('task %s was tried %s times already: max_attempts cannot be below that', OLD.id, OLD.attempts));
  END IF;
  IF NEW.task_type <> OLD.task_type THEN
    SELECT y.risk_floor INTO floor FROM juggernaut.task_types y WHERE y.task_type = NEW.task_type;
    IF floor IS NULL THEN
      PERFORM juggernaut.refuse('JG001', format('unknown task_type %L', NEW.task_type), 'SELECT task_type FROM juggernaut.task_types');
    END IF;
    NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, floor);
  END IF;
  IF NEW.priority <> OLD.priority THEN
    NEW.priority := juggernaut.normal_priority(NEW.priority);
  END IF;
  NEW.risk_level := juggernaut.higher_risk(NEW.risk_level, OLD.risk_level);
  kind := juggernaut.acting_kind();
  IF kind = 'worker' AND NOT certified AND NEW.status = OLD.status AND NEW IS DISTINCT FROM OLD
     AND (OLD.lease_login IS DISTINCT FROM juggernaut.acting() OR OLD.lease_hash IS NOT NULL)
     AND (NEW.assigned_worker, NEW.requires_approval, NEW.approval_reason, NEW.error_message, NEW.completion_evidence, NEW.completed_at, NEW.started_at, NEW.approved_by)
         IS DISTINCT FROM (OLD.assigned_worker, OLD.requires_approval, OLD.approval_reason, OLD.error_message, OLD.completion_evidence, OLD.completed_at, OLD.started_at, OLD.approved_by) THEN
    PERFORM juggernaut.refuse('JG003', format('%s does not hold task %s', juggernaut.acting(), OLD.id));
  END IF;
  IF kind IN ('approver', 'operator') AND NOT certified AND NEW IS DISTINCT FROM OLD THEN
    PERFORM juggernaut.audit_hand(OLD, NEW);
  END IF;
  IF NEW.status <> OLD.status THEN
    NEW := juggernaut.guard_move(OLD, NEW, kind, certified);
  END IF;
  IF content AND OLD.status NOT IN ('in_progress') THEN
    UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
     WHERE task_id = OLD.id AND status IN ('pending', 'approved');
    IF OLD.status = 'waiting_approval' AND NEW.status = 'waiting_approval' THEN
      NEW.status := 'pending'; -- what was asked for is gone: plan again, ask again
    END IF;
    NEW.approved_by := NULL;
    NEW.approved_at := NULL;
  END IF;
  IF NEW.status = OLD.status AND OLD.status <> 'in_progress' AND NEW.assigned_worker IS DISTINCT FROM OLD.assigned_worker THEN
    NEW.assignment := NEW.assigned_worker;
  END IF;
  IF NEW.status = 'pending' OR OLD.ready THEN
    NEW := juggernaut.place(NEW, OLD.ready AND NEW.priority = OLD.priority);
  END IF;
  IF NEW.status = 'blocked' AND (NEW.blocked_reason IS NULL OR NEW.blocked_owner IS NULL OR NEW.blocked_at IS NULL) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s may be blocked only with a reason, an owner and a time', NEW.id));
  END IF;
  IF NEW.status = 'failed' AND coalesce(btrim(NEW.error_message), '') = '' THEN
    PERFORM juggernaut.refuse('JG001', format('task %s may fail only with a reason in error_message', NEW.id));
  END IF;
  RETURN NEW;
END
$$;

-- What functions do has events of their own; what is typed is known by who executes it, since every
-- function that writes here has the owner's rights. Machinery of the hot moves only where they do not write.
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT * FROM (VALUES
      ('public.budgets', 'audit_row', 'INSERT OR DELETE OR UPDATE OF scope, cap_usd, cap_tokens', '{scope}', '{spent_usd,reserved_usd,spent_tokens,reserved_tokens,period_start}', false, false),
      ('public.budgets', 'audit_typed', 'UPDATE OF spent_usd, reserved_usd, spent_tokens, reserved_tokens, period_start', '{scope}', '{scope,cap_usd,cap_tokens}', true, true),
      ('juggernaut.login_types', 'audit_row', 'INSERT OR DELETE OR UPDATE', '{login,worker_type}', '{}', false, false),
      ('juggernaut.criteria', 'audit_row', 'INSERT OR DELETE OR UPDATE', '{task_id,number}', '{}', false, false),
      ('juggernaut.pull_reviews', 'audit_row', 'INSERT OR DELETE OR UPDATE', '{number,id}', '{}', false, true),
      ('juggernaut.pull_comments', 'audit_row', 'INSERT OR DELETE OR UPDATE', '{number,id}', '{}', false, true),
      ('juggernaut.pull_requests', 'audit_row', 'INSERT OR DELETE OR UPDATE', '{number}', '{body}', false, true),
      ('juggernaut.checks', 'audit_row', 'INSERT OR DELETE OR UPDATE', '{repo,sha,name}', '{}', false, true),
      ('public.alerts', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{id}', '{}', true, true),
      ('public.schedules', 'audit_typed', 'UPDATE OF next_run_at, last_run_at', '{name}', '{cron,time_zone,title,description,task_type,priority,payload,repo,enabled}', true, true),
      ('public.recommendations', 'audit_typed', 'UPDATE OF rationale, facts', '{id}', '{status,title,kind,decided_by,decided_at,decision_note,goal_id}', true, true),
      ('public.learnings', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{id}', '{}', true, true),
      ('public.worker_registry', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{worker_id}', '{last_heartbeat}', true, true),
      ('juggernaut.forge_rules', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{repo}', '{}', true, true),
      ('juggernaut.editors', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id,login}', '{}', true, true),
      ('juggernaut.forks', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id}', '{}', true, true),
      ('juggernaut.effects', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id,id}', '{}', true, true),
      ('juggernaut.model_calls', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id,id}', '{}', true, true),
      ('juggernaut.pull_watches', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id}', '{}', true, true),
      ('juggernaut.pull_news', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id,id}', '{}', true, true),
      ('juggernaut.trains', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{repo}', '{}', true, true),
      ('juggernaut.footprints', 'audit_typed', 'INSERT OR DELETE OR UPDATE', '{task_id}', '{}', true, true),
      ('juggernaut.dependencies', 'audit_typed', 'DELETE OR UPDATE OF task_id, needs_id', '{task_id,needs_id}', '{}', true, true),
      ('juggernaut.attempts', 'audit_typed', 'DELETE OR UPDATE OF task_id, fence, session_id, worker_id, login, started_at', '{task_id,fence}', '{lease_hash}', true, true),
      ('juggernaut.sessions', 'audit_typed', 'DELETE OR UPDATE OF id, worker_id, worker_type, login, secret_hash, handles, opened_at, expires_at, closed_at', '{id}', '{secret_hash,beat_at,waiting}', true, true)
    ) AS v (place, name, happens, names, left_out, typed, people)
  LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s FOR EACH ROW %s EXECUTE FUNCTION juggernaut.audit_row(%L, %L%s)', r.name, r.happens, r.place,
                   CASE WHEN r.typed THEN 'WHEN (current_user <> ''juggernaut_owner'')' END, r.names, r.left_out, CASE WHEN r.people THEN ', ''people''' END);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', r.place, r.name);
  END LOOP;
END
$$;

-- Words ------------------------------------------------------------------------------------------
-- Refuses a scope that names nothing, with what there is. Who has not registered yet may be named.
CREATE FUNCTION juggernaut.known_scope(p_scope text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  kind text := split_part(p_scope, ':', 1);
  name text := substr(p_scope, strpos(p_scope, ':') + 1);
  known text[];
BEGIN
  IF kind = 'type' THEN
    known := ARRAY(SELECT y.task_type FROM juggernaut.task_types y ORDER BY 1);
  ELSIF kind = 'role' THEN
    known := ARRAY(SELECT unnest(ARRAY['analyst', 'executor', 'orchestrator', 'strategist', 'watchdog']) UNION SELECT g.worker_type FROM juggernaut.grants g
                   UNION SELECT w.worker_type FROM public.worker_registry w UNION SELECT y.worker_type FROM juggernaut.login_types y ORDER BY 1);
  ELSIF kind IN ('goal', 'task') THEN
    IF name ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
       AND (kind = 'goal' AND EXISTS (SELECT FROM public.goals g WHERE g.id = name::uuid)
            OR kind = 'task' AND EXISTS (SELECT FROM public.governance_tasks t WHERE t.id = name::uuid)) THEN
      RETURN;
    END IF;
    PERFORM juggernaut.refuse('JG001', format('there is no %s %L', kind, left(name, 80)),
                              format('the whole id, in small letters: SELECT id, title FROM %s', CASE kind WHEN 'goal' THEN 'goals' ELSE 'task_board' END));
  ELSIF kind = 'worker' THEN
    IF length(btrim(name)) NOT BETWEEN 1 AND 200 THEN
      PERFORM juggernaut.refuse('JG001', format('%L is no id of a worker', left(name, 80)), 'SELECT worker_id FROM worker_registry');
    ELSIF NOT EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = name) THEN
      RAISE NOTICE 'no worker has the id % so far', quote_literal(name);
    END IF;
    RETURN;
  END IF;
  IF name <> ALL (known) THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no %s', left(name, 80), CASE kind WHEN 'type' THEN 'task type' ELSE kind END),
                              'use one of ' || array_to_string(known, ', '));
  END IF;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.known_scope(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION public.pause_swarm(scope text DEFAULT 'all', reason text DEFAULT 'paused') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.person_only('pause');
  IF pause_swarm.scope IS NULL OR pause_swarm.scope !~ '^(all$|(role|type|worker|goal):)' THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no scope', left(pause_swarm.scope, 80)), 'use all, role:NAME, type:NAME, worker:ID or goal:ID');
  END IF;
  IF pause_swarm.scope <> 'all' THEN
    PERFORM juggernaut.known_scope(pause_swarm.scope);
  END IF;
  PERFORM juggernaut.said(coalesce(pause_swarm.reason, ''), 'a pause');
  INSERT INTO public.controls (scope, reason, paused_by) VALUES (pause_swarm.scope, pause_swarm.reason, juggernaut.acting())
    ON CONFLICT ON CONSTRAINT controls_pkey DO UPDATE SET reason = excluded.reason, paused_by = excluded.paused_by, paused_at = clock_timestamp();
  PERFORM juggernaut.record_event('swarm.paused', pause_swarm.scope, NULL, jsonb_build_object('reason', pause_swarm.reason));
  RETURN pause_swarm.scope;
END
$$;

CREATE OR REPLACE FUNCTION public.set_budget(scope text, cap_usd numeric, cap_tokens numeric DEFAULT NULL) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  b public.budgets;
  v_tokens bigint;
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not set a budget: an operator does that', juggernaut.acting()));
  END IF;
  IF set_budget.scope IS NULL OR set_budget.scope !~ '^(day$|(role|type|goal|task):)' THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no purse', left(set_budget.scope, 80)), 'use day, goal:ID, task:ID, role:NAME or type:NAME');
  END IF;
  IF NOT EXISTS (SELECT FROM public.budgets x WHERE x.scope = set_budget.scope) THEN
    PERFORM juggernaut.known_scope(set_budget.scope);
  END IF;
  PERFORM juggernaut.real_price(set_budget.cap_usd, 'a cap');
  IF set_budget.cap_tokens < 0 OR set_budget.cap_tokens = 'NaN' OR (set_budget.cap_tokens <> 'Infinity' AND set_budget.cap_tokens > 1e15) THEN
    PERFORM juggernaut.refuse('JG001', format('%s is no cap on tokens', left(set_budget.cap_tokens::text, 40)), 'use 0 to 1000000000000000; ''infinity'' takes the cap away');
  END IF;
  PERFORM juggernaut.lock_purses(ARRAY[set_budget.scope]);
  SELECT * INTO b FROM public.budgets x WHERE x.scope = set_budget.scope;
  v_tokens := CASE WHEN set_budget.cap_tokens IS NULL THEN b.cap_tokens
                   WHEN set_budget.cap_tokens <> 'Infinity' THEN floor(set_budget.cap_tokens)::bigint END;
  IF b.spent_usd + b.reserved_usd > set_budget.cap_usd OR b.spent_tokens + b.reserved_tokens > v_tokens THEN
    PERFORM juggernaut.refuse('JG001', format('purse %s: %s US dollars and %s tokens are spent or reserved already, a cap cannot be below that',
                              b.scope, trim_scale(b.spent_usd + b.reserved_usd), b.spent_tokens + b.reserved_tokens), 'to stop all work: SELECT pause_swarm()');
  END IF;
  INSERT INTO public.budgets (scope, cap_usd, cap_tokens, period_start)
    VALUES (set_budget.scope, set_budget.cap_usd, v_tokens, CASE WHEN set_budget.scope = 'day' THEN (clock_timestamp() AT TIME ZONE 'UTC')::date END)
    ON CONFLICT ON CONSTRAINT budgets_pkey DO UPDATE SET cap_usd = excluded.cap_usd, cap_tokens = excluded.cap_tokens;
  PERFORM juggernaut.record_event('budget.set', set_budget.scope, jsonb_build_object('cap_usd', b.cap_usd, 'cap_tokens', b.cap_tokens),
                                  jsonb_build_object('cap_usd', set_budget.cap_usd, 'cap_tokens', v_tokens));
  UPDATE public.governance_tasks t SET status = 'pending' WHERE t.status = 'blocked' AND t.blocked_reason LIKE 'purse ' || set_budget.scope || ':%';
  RETURN set_budget.cap_usd;
END
$$;

-- As before; a number of a thousand digits is not repeated.
CREATE OR REPLACE FUNCTION juggernaut.real_price(p_usd numeric, p_what text) RETURNS numeric
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF p_usd IS NULL OR p_usd < 0 OR p_usd > 99999999 THEN -- NaN and infinity are above every number
    PERFORM juggernaut.refuse('JG001', format('%s needs a price in US dollars, not %s', p_what, coalesce(left(p_usd::text, 40), 'nothing')), 'use 0 to 99999999');
  END IF;
  RETURN ceil(p_usd * 1000000) / 1000000; -- the ledger keeps six places: never less than it cost
END
$$;

-- A reason that is given says something; none may be given where there is a default.
CREATE FUNCTION juggernaut.said(p_reason text, p_what text) RETURNS void
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF p_reason !~ '\S' THEN
    PERFORM juggernaut.refuse('JG001', format('%s needs a reason: say why', p_what));
  END IF;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.said(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION public.reject_task(id uuid, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM juggernaut.known_task(reject_task.id);
  PERFORM juggernaut.said(reject_task.reason, 'rejecting a task');
  UPDATE public.governance_tasks t SET status = 'rejected', error_message = coalesce(btrim(reject_task.reason), 'rejected')
   WHERE t.id = reject_task.id AND t.status = 'waiting_approval';
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('task %s does not wait for an approval', reject_task.id), 'SELECT cancel_task(id, reason)');
  END IF;
  RETURN 'rejected';
END
$$;

CREATE OR REPLACE FUNCTION public.cancel_task(id uuid, reason text DEFAULT 'cancelled') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_status text;
BEGIN
  PERFORM juggernaut.person_only('cancel a task');
  PERFORM juggernaut.known_task(cancel_task.id);
  PERFORM juggernaut.said(cancel_task.reason, 'cancelling a task');
  UPDATE public.governance_tasks t SET status = 'cancelled', error_message = left(coalesce(cancel_task.reason, 'cancelled'), 4000)
   WHERE t.id = cancel_task.id AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled') RETURNING t.status INTO v_status;
  RETURN coalesce(v_status, 'already ' || (SELECT t.status FROM public.governance_tasks t WHERE t.id = cancel_task.id));
END
$$;

CREATE OR REPLACE FUNCTION public.cancel_goal(id uuid, reason text DEFAULT 'cancelled') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_reason text := left(coalesce(cancel_goal.reason, 'cancelled'), 4000);
  n integer;
BEGIN
  PERFORM juggernaut.person_only('cancel a goal');
  PERFORM juggernaut.said(cancel_goal.reason, 'cancelling a goal');
  UPDATE public.goals g SET status = 'cancelled', completed_at = clock_timestamp(), outcome = jsonb_build_object('reason', v_reason)
   WHERE g.id = cancel_goal.id AND g.status = 'active';
  UPDATE public.governance_tasks t SET status = 'cancelled', error_message = v_reason
   WHERE t.goal_id = cancel_goal.id AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;

-- Views ------------------------------------------------------------------------------------------
-- What a plain-SQL worker claims to have merged proves nothing until somebody looked.
CREATE OR REPLACE VIEW public.proof AS
  SELECT t.id AS task_id, juggernaut.shown(t.title) AS title, t.task_type, e.kind, e.source, e.facts,
         (SELECT coalesce(jsonb_agg(jsonb_build_object('criterion', v.number, 'text', c.text, 'verdict', v.verdict, 'source', v.source,
                                                       'facts', v.facts) ORDER BY v.number), '[]')
            FROM juggernaut.verdicts v JOIN juggernaut.criteria c USING (task_id, number) WHERE v.task_id = t.id AND v.fence = e.fence) AS verdicts,
         e.facts ->> 'merged_sha' AS merged_sha, e.facts ->> 'pull_url' AS pull_url, t.completed_at
    FROM public.governance_tasks t JOIN juggernaut.evidence e ON e.id = t.evidence_id
   WHERE t.status = 'completed'
   ORDER BY t.completed_at DESC;

-- A floor or a bound that changes makes no law-breakers of the tasks that were there before.
ALTER TABLE juggernaut.task_types ADD COLUMN since timestamptz NOT NULL DEFAULT clock_timestamp();
ALTER TABLE juggernaut.thresholds ADD COLUMN since timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN juggernaut.task_types.since IS 'when risk_floor changed; tasks of before are not held to it until their gate';
COMMENT ON COLUMN juggernaut.thresholds.since IS 'when value changed';
CREATE FUNCTION juggernaut.mark_since() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.since := clock_timestamp();
  RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.mark_since() FROM PUBLIC;
CREATE TRIGGER mark_since BEFORE UPDATE OF risk_floor ON juggernaut.task_types FOR EACH ROW
  WHEN (NEW.risk_floor <> OLD.risk_floor) EXECUTE FUNCTION juggernaut.mark_since();
CREATE TRIGGER mark_since BEFORE UPDATE OF value ON juggernaut.thresholds FOR EACH ROW
  WHEN (NEW.value <> OLD.value) EXECUTE FUNCTION juggernaut.mark_since();
ALTER TABLE juggernaut.task_types ENABLE ALWAYS TRIGGER mark_since;
ALTER TABLE juggernaut.thresholds ENABLE ALWAYS TRIGGER mark_since;

-- The calls of a day are found by when they were settled.
CREATE INDEX model_calls_settled ON juggernaut.model_calls (settled_at) WHERE settled_at IS NOT NULL;

-- As before, and: purses in tokens and against the calls of the day, floors, bytes, deciders, attempts, fences, depth.
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
    LEFT JOIN (SELECT s.scope, sum(c.reserved_usd) AS usd, sum(c.reserved_tokens) AS tokens
                 FROM juggernaut.model_calls c CROSS JOIN LATERAL unnest(c.scopes) AS s (scope)
                WHERE c.state = 'reserved' GROUP BY s.scope) o USING (scope)
   WHERE (b.reserved_usd, b.reserved_tokens) <> (coalesce(o.usd, 0), coalesce(o.tokens, 0))
      OR least(b.reserved_usd, b.spent_usd, b.reserved_tokens, b.spent_tokens) < 0
      OR b.spent_usd + b.reserved_usd > b.cap_usd OR b.spent_tokens + b.reserved_tokens > b.cap_tokens
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
   WHERE a.status = 'approved'
  UNION ALL
  -- What a call cost above its reservation is taken as far as there is room. A call that settles as the
  -- day begins may be counted to the day before. Other purses have no day: they would need every call there ever was.
  SELECT 'a day costs otherwise than its purse says', NULL, format('%s: spent %s, its calls cost %s', b.scope, b.spent_usd, d.usd)
    FROM public.budgets b
   CROSS JOIN LATERAL (
     SELECT coalesce(sum(c.cost_usd), 0) AS usd, coalesce(sum(c.tokens), 0) AS tokens,
            coalesce(sum(least(c.cost_usd, c.reserved_usd)) FILTER (WHERE c.settled_at > m.midnight + interval '1 minute'), 0) AS least_usd,
            coalesce(sum(least(c.tokens, c.reserved_tokens)) FILTER (WHERE c.settled_at > m.midnight + interval '1 minute'), 0) AS least_tokens
       FROM (SELECT b.period_start::timestamp AT TIME ZONE 'UTC' AS midnight OFFSET 0) m
       JOIN juggernaut.model_calls c ON c.settled_at >= m.midnight AND b.scope = ANY (c.scopes)) d
   WHERE b.period_start IS NOT NULL
     AND (b.spent_usd NOT BETWEEN d.least_usd AND d.usd OR b.spent_tokens NOT BETWEEN d.least_tokens AND d.tokens)
  UNION ALL
  -- One pass for what a row says by itself; the words are made for the few rows that are found.
  SELECT x.law, t.id, x.details
    FROM public.governance_tasks t
    JOIN juggernaut.task_types y USING (task_type)
    JOIN juggernaut.risks f ON f.risk_level = y.risk_floor
    LEFT JOIN juggernaut.risks r ON r.risk_level = t.risk_level
   CROSS JOIN (SELECT h.value, h.since FROM juggernaut.thresholds h WHERE h.name = 'task_depth') h
   CROSS JOIN LATERAL (VALUES
     ('risk below the floor of its type', coalesce(r.rank, -1) < f.rank AND t.created_at > y.since + interval '1 minute',
      format('%s, and %s is the least of %s', t.risk_level, y.risk_floor, t.task_type)),
     -- A merge that was reported and not confirmed was an attempt; a person may give another one.
     ('tried more often than allowed', t.attempts > t.max_attempts
        AND t.attempts > t.max_attempts + (SELECT count(*) FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.ended_as = 'awaiting_merge'),
      format('%s of %s attempts', t.attempts, t.max_attempts)),
     ('attempts without a fence', t.attempts > 0 AND t.fence = 0, format('%s attempts', t.attempts)),
     ('nested deeper than allowed', t.depth > h.value AND t.created_at > h.since + interval '1 minute', format('%s levels of %s', t.depth, h.value))
   ) AS x (law, broken, details)
   WHERE (t.attempts > t.max_attempts OR t.fence = 0 AND t.attempts > 0 OR t.depth > h.value AND t.created_at > h.since + interval '1 minute'
          OR coalesce(r.rank, -1) < f.rank AND t.created_at > y.since + interval '1 minute')
     AND x.broken
  UNION ALL
  -- Open tasks: a late write of an old attempt would pass. A completed one is tied to its attempt by its evidence.
  SELECT 'a fence behind its attempts', t.id, format('fence %s, the newest attempt has %s', t.fence, a.fence)
    FROM public.governance_tasks t
   CROSS JOIN LATERAL (SELECT max(x.fence) AS fence FROM juggernaut.attempts x WHERE x.task_id = t.id) a
   WHERE t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled') AND a.fence > t.fence
  UNION ALL
  -- A gate keeps the bytes of its digest in plans; a plain-SQL request is the digest of its own bytes.
  SELECT 'approved bytes that its digest does not stand for', a.task_id, format('%s, digest %s', a.gate, left(a.digest, 12))
    FROM public.approvals a
   WHERE a.status = 'approved' AND a.digest <> encode(sha256(convert_to(a.body::text, 'UTF8')), 'hex')
     AND NOT EXISTS (SELECT FROM juggernaut.plans p WHERE p.task_id = a.task_id AND p.gate = a.gate AND p.digest = a.digest AND p.body = a.body)
  UNION ALL
  SELECT 'completed on a plan that nobody approved', t.id, t.risk_level
    FROM public.governance_tasks t JOIN juggernaut.risks r USING (risk_level)
   WHERE t.status = 'completed' AND r.approvers > 0
     AND EXISTS (SELECT FROM juggernaut.plans p WHERE p.task_id = t.id AND p.fence = t.fence)
     AND NOT EXISTS (SELECT FROM juggernaut.plans p JOIN public.approvals a ON a.task_id = p.task_id AND a.gate = p.gate AND a.digest = p.digest
                      WHERE p.task_id = t.id AND p.fence = t.fence AND a.status = 'approved')
  UNION ALL
  -- A login that had worked before it decided. An operator's may do both; who was dropped is not known any more.
  SELECT 'approved by a worker', a.task_id, d.decided_by
    FROM public.approvals a JOIN juggernaut.decisions d ON d.approval_id = a.id AND d.decision = 'approved'
    JOIN pg_catalog.pg_roles l ON l.rolname = d.decided_by
   WHERE a.status = 'approved' AND NOT pg_catalog.pg_has_role(l.oid, 'juggernaut_owner', 'MEMBER')
     AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.login = d.decided_by AND s.opened_at < d.decided_at);
