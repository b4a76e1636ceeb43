-- Effects, purse, plans, learnings, reports: what an attempt writes besides its end.
SET LOCAL ROLE juggernaut_owner;

CREATE FUNCTION juggernaut.effect_intend_v1(p_task uuid, p_fence bigint, p_secret uuid, p_kind text, p_key text, p_request jsonb)
RETURNS TABLE (id bigint, kind text, key text, state text, result jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO juggernaut.effects (task_id, kind, key, fence, request) VALUES (t.id, p_kind, p_key, t.fence, p_request)
    ON CONFLICT ON CONSTRAINT effects_task_id_kind_key_key DO NOTHING;
  RETURN QUERY SELECT e.id, e.kind, e.key, e.state, e.result FROM juggernaut.effects e
                WHERE e.task_id = t.id AND e.kind = p_kind AND e.key = p_key;
END
$$;

CREATE FUNCTION juggernaut.effect_confirm_v1(p_task uuid, p_fence bigint, p_secret uuid, p_effect bigint, p_result jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    RETURN false;
  END IF;
  UPDATE juggernaut.effects SET state = 'confirmed', result = p_result, confirmed_at = clock_timestamp(), fence = t.fence
   WHERE id = p_effect AND task_id = t.id AND state = 'intended';
  RETURN FOUND OR EXISTS (SELECT FROM juggernaut.effects WHERE id = p_effect AND task_id = t.id);
END
$$;

-- Every purse that applies is locked in one order, so that no call leaves without its worst price
-- being set aside, however many ask at once.
CREATE FUNCTION juggernaut.reserve_v1(p_task uuid, p_fence bigint, p_secret uuid, p_model text, p_purpose text, p_digest text, p_usd numeric)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  b public.budgets;
  v_scopes text[];
  v_used text[] := '{}';
  v_call uuid;
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  IF p_usd IS NULL OR p_usd < 0 THEN
    PERFORM juggernaut.refuse('JG001', 'a reservation needs a price');
  END IF;
  SELECT array_remove(ARRAY['day', 'goal:' || t.goal_id, 'role:' || s.worker_type, 'task:' || t.id, 'type:' || t.task_type], NULL)
    INTO v_scopes FROM juggernaut.sessions s WHERE s.id = t.session_id;
  FOR b IN SELECT * FROM public.budgets x WHERE x.scope = ANY (v_scopes) ORDER BY x.scope FOR UPDATE LOOP
    IF b.period_start IS NOT NULL AND b.period_start <> (clock_timestamp() AT TIME ZONE 'UTC')::date THEN
      UPDATE public.budgets SET spent_usd = 0, period_start = (clock_timestamp() AT TIME ZONE 'UTC')::date WHERE scope = b.scope;
      b.spent_usd := 0;
    END IF;
    IF b.spent_usd + b.reserved_usd + p_usd > b.cap_usd THEN
      PERFORM juggernaut.refuse('JG002', format('purse %s: cap %s, spent %s, reserved %s, the next call may cost %s',
                                b.scope, round(b.cap_usd, 4), round(b.spent_usd, 4), round(b.reserved_usd, 4), round(p_usd, 4)),
                                format('SELECT set_budget(%L, ...)', b.scope));
    END IF;
    UPDATE public.budgets SET reserved_usd = reserved_usd + p_usd WHERE scope = b.scope;
    v_used := v_used || b.scope;
  END LOOP;
  INSERT INTO juggernaut.model_calls (task_id, fence, goal_id, model, purpose, digest, scopes, reserved_usd, login)
    VALUES (t.id, t.fence, t.goal_id, p_model, p_purpose, p_digest, v_used, p_usd, juggernaut.acting()) RETURNING id INTO v_call;
  RETURN v_call;
END
$$;

-- Settling needs no lease: the money is spent whoever holds the task now. A price above the
-- reserved one is kept on the call, and the purse takes no more than it had set aside.
CREATE FUNCTION juggernaut.settle(p_call uuid, p_usd numeric, p_facts jsonb, p_state text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  c juggernaut.model_calls;
BEGIN
  SELECT * INTO c FROM juggernaut.model_calls WHERE id = p_call AND state = 'reserved' FOR UPDATE;
  IF c.id IS NULL THEN
    RETURN false;
  END IF;
  PERFORM FROM public.budgets WHERE scope = ANY (c.scopes) ORDER BY scope FOR UPDATE;
  UPDATE public.budgets SET reserved_usd = reserved_usd - c.reserved_usd, spent_usd = spent_usd + least(p_usd, c.reserved_usd)
   WHERE scope = ANY (c.scopes);
  UPDATE juggernaut.model_calls SET state = p_state, cost_usd = p_usd, facts = coalesce(p_facts, '{}'), settled_at = clock_timestamp() WHERE id = c.id;
  RETURN true;
END
$$;

CREATE FUNCTION juggernaut.settle_v1(p_call uuid, p_usd numeric, p_facts jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.model_calls WHERE id = p_call AND login = juggernaut.acting()) THEN
    PERFORM juggernaut.refuse('JG001', format('model call %s is not one of %s', p_call, juggernaut.acting()));
  END IF;
  RETURN juggernaut.settle(p_call, p_usd, p_facts, 'settled');
END
$$;

-- The tasks of a plan, created once: a repeat by a later attempt gives the ones that exist.
-- p_tasks: [{key, title, description, task_type, priority, risk, needs: [key], criteria: [{text, check}], payload}]
CREATE FUNCTION juggernaut.propose_tasks_v1(p_task uuid, p_fence bigint, p_secret uuid, p_tasks jsonb) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  made jsonb := '{}';
  item jsonb;
  open_items jsonb := p_tasks;
  next_items jsonb;
  v_id uuid;
  nobody text;
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  IF EXISTS (SELECT FROM public.governance_tasks c WHERE c.parent_task_id = t.id) THEN
    RETURN QUERY SELECT c.id FROM public.governance_tasks c WHERE c.parent_task_id = t.id ORDER BY c.created_at, c.id;
    RETURN;
  END IF;
  IF jsonb_array_length(p_tasks) > juggernaut.threshold('proposal_tasks') THEN
    PERFORM juggernaut.refuse('JG001', format('a plan of %s tasks; at most %s are allowed', jsonb_array_length(p_tasks), juggernaut.threshold('proposal_tasks')));
  END IF;
  IF t.depth + 1 > juggernaut.threshold('task_depth') THEN
    PERFORM juggernaut.refuse('JG001', format('tasks would be nested %s deep', t.depth + 1));
  END IF;
  IF t.goal_id IS NOT NULL AND (SELECT count(*) FROM public.governance_tasks c WHERE c.goal_id = t.goal_id) + jsonb_array_length(p_tasks)
     > juggernaut.threshold('goal_tasks') THEN
    PERFORM juggernaut.refuse('JG001', format('goal %s would have more than %s tasks', t.goal_id, juggernaut.threshold('goal_tasks')));
  END IF;
  SELECT string_agg(DISTINCT coalesce(x.value ->> 'task_type', 'null'), ', ') INTO nobody FROM jsonb_array_elements(p_tasks) x
   WHERE NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.task_type = x.value ->> 'task_type')
      OR (x.value ->> 'task_type') = 'planning';
  IF nobody IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('no granted role handles: %s', nobody), 'SELECT * FROM juggernaut.grants');
  END IF;
  -- Kahn's order: whatever cannot be placed at the end stands in a cycle or names nothing.
  WHILE jsonb_array_length(open_items) > 0 LOOP
    next_items := '[]';
    FOR item IN SELECT value FROM jsonb_array_elements(open_items) LOOP
      IF EXISTS (SELECT FROM jsonb_array_elements_text(coalesce(item -> 'needs', '[]')) n WHERE NOT made ? n) THEN
        next_items := next_items || jsonb_build_array(item);
        CONTINUE;
      END IF;
      INSERT INTO public.governance_tasks (goal_id, parent_task_id, title, description, task_type, priority, risk_level,
                                           acceptance_criteria, payload, repo, depth, depends_on)
        VALUES (t.goal_id, t.id, item ->> 'title', coalesce(item ->> 'description', ''), item ->> 'task_type',
                coalesce(item ->> 'priority', 'medium'), coalesce(item ->> 'risk', 'low'),
                CASE WHEN jsonb_array_length(coalesce(item -> 'criteria', '[]')) > 0 THEN (item -> 'criteria')::text END,
                coalesce(item -> 'payload', '{}'), t.repo, t.depth + 1,
                ARRAY(SELECT (made ->> n)::uuid FROM jsonb_array_elements_text(coalesce(item -> 'needs', '[]')) n))
        RETURNING id INTO v_id;
      made := made || jsonb_build_object(item ->> 'key', v_id);
      RETURN NEXT v_id;
    END LOOP;
    IF jsonb_array_length(next_items) = jsonb_array_length(open_items) THEN
      PERFORM juggernaut.refuse('JG001', format('tasks need each other in a cycle, or need a task that is not there: %s',
        (SELECT string_agg(x.value ->> 'key', ', ') FROM jsonb_array_elements(next_items) x)));
    END IF;
    open_items := next_items;
  END LOOP;
END
$$;

CREATE FUNCTION juggernaut.save_report_v1(p_task uuid, p_fence bigint, p_secret uuid, p_title text, p_body text, p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_id bigint;
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  INSERT INTO public.reports (task_id, fence, title, body, facts) VALUES (t.id, t.fence, p_title, p_body, p_facts)
    ON CONFLICT (task_id, fence) DO NOTHING;
  SELECT r.id INTO v_id FROM public.reports r WHERE r.task_id = t.id AND r.fence = t.fence;
  RETURN v_id;
END
$$;

CREATE FUNCTION juggernaut.save_recommendations_v1(p_task uuid, p_fence bigint, p_secret uuid, p_rows jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  IF jsonb_array_length(p_rows) > juggernaut.threshold('proposal_tasks') THEN
    PERFORM juggernaut.refuse('JG001', format('%s recommendations at once', jsonb_array_length(p_rows)));
  END IF;
  INSERT INTO public.recommendations (task_id, fence, kind, title, rationale, facts)
    SELECT t.id, t.fence, x.value ->> 'kind', x.value ->> 'title', x.value ->> 'rationale', coalesce(x.value -> 'facts', '{}')
      FROM jsonb_array_elements(p_rows) x ON CONFLICT (task_id, fence, title) DO NOTHING;
  RETURN QUERY SELECT r.id FROM public.recommendations r WHERE r.task_id = t.id AND r.fence = t.fence ORDER BY r.id;
END
$$;

-- Learnings that fit a task: same repository or none, by words in common and by impact.
CREATE FUNCTION juggernaut.recall_v1(p_text text, p_repo text, p_limit integer)
RETURNS TABLE (category text, title text, description text, impact numeric, tags jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  words tsquery;
BEGIN
  SELECT string_agg(quote_literal(w), ' | ')::tsquery INTO words
    FROM (SELECT DISTINCT unnest(tsvector_to_array(to_tsvector('english', left(p_text, 4000)))) AS w LIMIT 60) x;
  RETURN QUERY
  WITH hit AS (
    SELECT l.id FROM public.learnings l
     WHERE words IS NOT NULL AND to_tsvector('english', l.title || ' ' || l.description) @@ words
       AND l.scope IS NOT DISTINCT FROM p_repo
     ORDER BY ts_rank(to_tsvector('english', l.title || ' ' || l.description), words) + l.impact_score DESC, l.id DESC
     LIMIT least(p_limit, 20)
  )
  UPDATE public.learnings l SET applied_count = l.applied_count + 1 FROM hit WHERE l.id = hit.id
  RETURNING l.category, l.title, l.description, l.impact_score, l.tags;
END
$$;

CREATE FUNCTION juggernaut.goal_v1(p_task uuid, p_fence bigint, p_secret uuid)
RETURNS TABLE (id uuid, title text, description text, status text, repo text, replans integer, budget_usd numeric)
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT g.id, g.title, g.description, g.status, g.repo, g.replans, g.budget_usd
    FROM public.goals g WHERE g.id = (juggernaut.held(p_task, p_fence, p_secret)).goal_id
$$;

CREATE FUNCTION juggernaut.goal_story_v1(p_task uuid, p_fence bigint, p_secret uuid) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT jsonb_build_object('tasks', coalesce(jsonb_agg(jsonb_build_object(
           'id', t.id, 'title', t.title, 'task_type', t.task_type, 'status', t.status, 'risk_level', t.risk_level,
           'error', left(t.error_message, 1000), 'evidence', left(t.completion_evidence, 500)) ORDER BY t.created_at, t.id), '[]'))
    FROM public.governance_tasks t
   WHERE t.goal_id = (juggernaut.held(p_task, p_fence, p_secret)).goal_id AND t.task_type <> 'planning'
$$;
