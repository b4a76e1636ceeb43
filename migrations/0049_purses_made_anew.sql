-- A purse that is made anew, or later than its first call, balances from the start and can be settled, and
-- a budget_usd that is edited bounds what it says; no threshold goes away.
SET LOCAL ROLE juggernaut_owner;

-- As before, and a purse that has less reserved than the call gives back what it has: a purse may be made
-- by hand while its calls are on the way, and one that can never settle is a purse that is never right again.
CREATE OR REPLACE FUNCTION juggernaut.settle(p_call uuid, p_usd numeric, p_facts jsonb, p_state text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  c juggernaut.model_calls;
  v_told numeric := juggernaut.real_price(p_usd, 'settling a call');
  v_told_tokens bigint;
  v_usd numeric;
  v_tokens bigint;
  v_room numeric;
  v_facts jsonb := coalesce(p_facts, '{}');
BEGIN
  PERFORM juggernaut.lock_purses((SELECT m.scopes FROM juggernaut.model_calls m WHERE m.id = p_call));
  SELECT * INTO c FROM juggernaut.model_calls WHERE id = p_call AND state = 'reserved' FOR UPDATE;
  IF c.id IS NULL THEN
    RETURN false;
  END IF;
  v_told_tokens := CASE WHEN p_facts ->> 'tokens' ~ '^[0-9]{1,15}$' THEN (p_facts ->> 'tokens')::bigint ELSE c.reserved_tokens END;
  SELECT min(b.cap_usd - b.spent_usd - b.reserved_usd) INTO v_room FROM public.budgets b WHERE b.scope = ANY (c.scopes);
  v_usd := least(v_told, c.reserved_usd + greatest(v_room, 0));
  v_tokens := least(v_told_tokens, coalesce(nullif(c.reserved_tokens, 0), 1000000000));
  IF v_told > c.reserved_usd OR v_told_tokens > v_tokens THEN
    v_facts := v_facts || jsonb_build_object('told_usd', v_told, 'told_tokens', v_told_tokens);
    PERFORM juggernaut.try_raise_alert('overspent_call', c.login, 'error',
      format('%s says that a call cost %s US dollars and %s tokens, and had reserved %s and %s', c.login, trim_scale(v_told), v_told_tokens,
             trim_scale(c.reserved_usd), c.reserved_tokens), jsonb_build_object('call', c.id, 'task_id', c.task_id, 'model', c.model));
  END IF;
  UPDATE public.budgets
     SET reserved_usd = greatest(reserved_usd - c.reserved_usd, 0),
         spent_usd = least(spent_usd + v_usd, cap_usd - greatest(reserved_usd - c.reserved_usd, 0)),
         reserved_tokens = greatest(reserved_tokens - c.reserved_tokens, 0),
         spent_tokens = least(spent_tokens::numeric + CASE WHEN cap_tokens IS NULL THEN v_tokens ELSE least(v_tokens, c.reserved_tokens) END,
                              cap_tokens - greatest(reserved_tokens - c.reserved_tokens, 0), 1e18)::bigint
   WHERE scope = ANY (c.scopes);
  UPDATE juggernaut.model_calls
     SET state = p_state, cost_usd = v_usd, tokens = v_tokens, facts = v_facts, settled_at = clock_timestamp()
   WHERE id = c.id;
  RETURN true;
END
$$;

-- Gives a purse its cap, in dollars and in tokens. A new one begins with what calls that name it have reserved
-- and not settled, and nobody moves money meanwhile; what was settled before is none of its.
CREATE FUNCTION juggernaut.set_cap(p_scope text, p_usd numeric, p_tokens numeric) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  b public.budgets;
  v_tokens bigint;
  v_new boolean;
BEGIN
  IF NOT EXISTS (SELECT FROM public.budgets x WHERE x.scope = p_scope) THEN
    LOCK TABLE public.budgets IN EXCLUSIVE MODE; -- movers lock their purses first, so each of them is done, or has not begun
  END IF;
  PERFORM juggernaut.lock_purses(ARRAY[p_scope]);
  SELECT * INTO b FROM public.budgets x WHERE x.scope = p_scope;
  v_new := b.scope IS NULL;
  IF v_new THEN
    SELECT p_scope, coalesce(sum(c.reserved_usd), 0), 0, coalesce(sum(c.reserved_tokens), 0), 0
      INTO b.scope, b.reserved_usd, b.spent_usd, b.reserved_tokens, b.spent_tokens
      FROM juggernaut.model_calls c WHERE c.state = 'reserved' AND p_scope = ANY (c.scopes);
  END IF;
  v_tokens := CASE WHEN p_tokens IS NULL THEN b.cap_tokens WHEN p_tokens <> 'Infinity' THEN floor(p_tokens)::bigint END;
  IF b.spent_usd + b.reserved_usd > p_usd OR b.spent_tokens + b.reserved_tokens > v_tokens THEN
    PERFORM juggernaut.refuse('JG001', format('purse %s: %s US dollars and %s tokens are spent or reserved already, a cap cannot be below that',
                              b.scope, trim_scale(b.spent_usd + b.reserved_usd), b.spent_tokens + b.reserved_tokens), 'to stop all work: SELECT pause_swarm()');
  END IF;
  IF v_new THEN
    INSERT INTO public.budgets (scope, cap_usd, cap_tokens, reserved_usd, reserved_tokens, period_start)
      VALUES (p_scope, p_usd, v_tokens, b.reserved_usd, b.reserved_tokens, CASE WHEN p_scope = 'day' THEN (clock_timestamp() AT TIME ZONE 'UTC')::date END);
  ELSE
    UPDATE public.budgets x SET cap_usd = p_usd, cap_tokens = v_tokens WHERE x.scope = p_scope;
  END IF;
  PERFORM juggernaut.record_event('budget.set', p_scope, jsonb_build_object('cap_usd', b.cap_usd, 'cap_tokens', b.cap_tokens),
                                  jsonb_build_object('cap_usd', p_usd, 'cap_tokens', v_tokens));
  UPDATE public.governance_tasks t SET status = 'pending' WHERE t.status = 'blocked' AND t.blocked_reason LIKE 'purse ' || p_scope || ':%';
END
$$;
REVOKE ALL ON FUNCTION juggernaut.set_cap(text, numeric, numeric) FROM PUBLIC;

-- As before; the cap itself is set for edits of budget_usd, too.
CREATE OR REPLACE FUNCTION public.set_budget(scope text, cap_usd numeric, cap_tokens numeric DEFAULT NULL) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
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
  PERFORM juggernaut.set_cap(set_budget.scope, set_budget.cap_usd, set_budget.cap_tokens);
  RETURN set_budget.cap_usd;
END
$$;

-- A budget_usd that is given or changed later is the cap of a purse like one that was given at once.
CREATE FUNCTION juggernaut.follow_budget() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_scope text := TG_ARGV[0] || ':' || NEW.id;
BEGIN
  IF NEW.budget_usd IS NOT NULL THEN
    PERFORM juggernaut.set_cap(v_scope, juggernaut.real_price(NEW.budget_usd, 'a budget_usd'), NULL);
  ELSIF EXISTS (SELECT FROM public.budgets b WHERE b.scope = v_scope) THEN
    PERFORM juggernaut.refuse('JG001', format('purse %s bounds the %s: without a budget_usd it would go on doing so', v_scope, TG_ARGV[0]),
                              format('SELECT set_budget(%L, ...)', v_scope));
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.follow_budget() FROM PUBLIC;
CREATE TRIGGER follow_budget AFTER UPDATE OF budget_usd ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.budget_usd IS DISTINCT FROM OLD.budget_usd) EXECUTE FUNCTION juggernaut.follow_budget('task');
CREATE TRIGGER follow_budget AFTER UPDATE OF budget_usd ON public.goals FOR EACH ROW
  WHEN (NEW.budget_usd IS DISTINCT FROM OLD.budget_usd) EXECUTE FUNCTION juggernaut.follow_budget('goal');
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_budget;
ALTER TABLE public.goals ENABLE ALWAYS TRIGGER follow_budget;

-- Functions name thresholds, and without one of them no session opens, or a duty does nothing for ever.
CREATE FUNCTION juggernaut.no_threshold_removal() RETURNS trigger
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.refuse('JG001', format('threshold %s is named by functions: none is removed or renamed', OLD.name),
                            format('UPDATE juggernaut.thresholds SET value = ... WHERE name = %L', OLD.name));
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.no_threshold_removal() FROM PUBLIC;
CREATE TRIGGER no_removal BEFORE DELETE OR UPDATE OF name ON juggernaut.thresholds FOR EACH ROW EXECUTE FUNCTION juggernaut.no_threshold_removal();
ALTER TABLE juggernaut.thresholds ENABLE ALWAYS TRIGGER no_removal;

-- What was edited so before has its purse now, large enough for what is on the way.
INSERT INTO public.budgets (scope, cap_usd, reserved_usd, reserved_tokens)
SELECT 'task:' || t.id, greatest(t.budget_usd, o.usd), o.usd, o.tokens
  FROM public.governance_tasks t
 CROSS JOIN LATERAL (SELECT coalesce(sum(c.reserved_usd), 0) AS usd, coalesce(sum(c.reserved_tokens), 0) AS tokens
                       FROM juggernaut.model_calls c WHERE c.state = 'reserved' AND 'task:' || t.id = ANY (c.scopes)) o
 WHERE t.budget_usd >= 0 AND t.budget_usd <> 'NaN' AND t.status NOT IN ('completed', 'failed', 'rejected', 'cancelled')
    ON CONFLICT ON CONSTRAINT budgets_pkey DO NOTHING;
