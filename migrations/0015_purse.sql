-- The purse: tokens beside dollars, one order of locks, a landing turn that is paid in advance,
-- and tasks that go on by themselves when there is room again.
SET LOCAL ROLE juggernaut_owner;

ALTER TABLE public.budgets
  ADD COLUMN cap_tokens bigint CHECK (cap_tokens >= 0),
  ADD COLUMN spent_tokens bigint NOT NULL DEFAULT 0 CHECK (spent_tokens >= 0),
  ADD COLUMN reserved_tokens bigint NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
  ADD CONSTRAINT never_overdrawn_tokens CHECK (cap_tokens IS NULL OR spent_tokens + reserved_tokens <= cap_tokens),
  ADD CONSTRAINT money_is_a_number CHECK (cap_usd <> 'NaN' AND spent_usd <> 'NaN' AND reserved_usd <> 'NaN');
COMMENT ON COLUMN public.budgets.cap_tokens IS 'NULL: this purse counts tokens and does not limit them';

ALTER TABLE juggernaut.model_calls
  ADD COLUMN reserved_tokens bigint NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
  ADD COLUMN tokens bigint CHECK (tokens >= 0);
COMMENT ON COLUMN juggernaut.model_calls.digest IS 'of what was asked; empty while the row only sets a landing turn aside';

ALTER TABLE juggernaut.attempts ADD COLUMN landing_call uuid;

-- Every purse that a task draws from: its own, those of the tasks it came from, their goals, its
-- type, the role that holds it, and the day.
CREATE FUNCTION juggernaut.purses_of(t public.governance_tasks) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  WITH RECURSIVE line AS (
    SELECT t.id, t.parent_task_id, t.goal_id, 1 AS height
    UNION ALL
    SELECT p.id, p.parent_task_id, p.goal_id, l.height + 1
      FROM line l JOIN public.governance_tasks p ON p.id = l.parent_task_id WHERE l.height < 20
  )
  SELECT array_agg(x.scope) FROM (
    SELECT 'day' AS scope
    UNION SELECT 'type:' || t.task_type
    UNION SELECT 'role:' || s.worker_type FROM juggernaut.sessions s WHERE s.id = t.session_id
    UNION SELECT 'task:' || l.id FROM line l
    UNION SELECT 'goal:' || l.goal_id FROM line l WHERE l.goal_id IS NOT NULL) x
$$;

-- Purses are locked in the order of their names and before any call's row, by whoever moves money:
-- so two movers never wait for each other. Gives the purses that exist; a new day empties its purse.
CREATE FUNCTION juggernaut.lock_purses(p_scopes text[]) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_found text[];
  v_today date;
BEGIN
  SELECT coalesce(array_agg(x.scope), '{}') INTO v_found
    FROM (SELECT b.scope FROM public.budgets b WHERE b.scope = ANY (p_scopes) ORDER BY b.scope FOR UPDATE) x;
  v_today := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  UPDATE public.budgets SET spent_usd = 0, spent_tokens = 0, period_start = v_today
   WHERE scope = ANY (v_found) AND period_start < v_today;
  RETURN v_found;
END
$$;

-- Sets money and tokens aside in every purse, or in none: one statement that carries its own
-- condition. Tokens that are not known (NULL) fit no purse that limits tokens.
CREATE FUNCTION juggernaut.set_aside(p_scopes text[], p_usd numeric, p_tokens bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  b public.budgets;
  v_taken text[];
BEGIN
  WITH taken AS (
    UPDATE public.budgets
       SET reserved_usd = reserved_usd + p_usd, reserved_tokens = reserved_tokens + coalesce(p_tokens, 0)
     WHERE scope = ANY (p_scopes) AND spent_usd + reserved_usd + p_usd <= cap_usd
       AND (cap_tokens IS NULL OR spent_tokens + reserved_tokens + p_tokens <= cap_tokens)
    RETURNING scope)
  SELECT coalesce(array_agg(scope), '{}') INTO v_taken FROM taken;
  SELECT * INTO b FROM public.budgets x WHERE x.scope = ANY (p_scopes) AND x.scope <> ALL (v_taken) ORDER BY x.scope LIMIT 1;
  IF b.scope IS NULL THEN
    RETURN;
  END IF;
  IF b.spent_usd + b.reserved_usd + p_usd > b.cap_usd THEN
    PERFORM juggernaut.refuse('JG002', format('purse %s: cap %s, spent %s, reserved %s, the next call may cost %s',
                              b.scope, round(b.cap_usd, 4), round(b.spent_usd, 4), round(b.reserved_usd, 4), trim_scale(p_usd)),
                              format('SELECT set_budget(%L, ...)', b.scope));
  END IF;
  PERFORM juggernaut.refuse('JG002', format('purse %s: cap %s tokens, spent %s, reserved %s, the next call may take %s tokens',
                            b.scope, b.cap_tokens, b.spent_tokens, b.reserved_tokens, coalesce(p_tokens::text, 'an unknown number of')),
                            format('SELECT set_budget(%L, %s, ...)', b.scope, trim_scale(b.cap_usd)));
END
$$;

CREATE FUNCTION juggernaut.real_price(p_usd numeric, p_what text) RETURNS numeric
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF p_usd IS NULL OR p_usd < 0 OR p_usd > 99999999 THEN -- NaN and infinity are above every number
    PERFORM juggernaut.refuse('JG001', format('%s needs a price in US dollars, not %s', p_what, coalesce(p_usd::text, 'nothing')));
  END IF;
  RETURN ceil(p_usd * 1000000) / 1000000; -- the ledger keeps six places: never less than it cost
END
$$;

-- p_landing_*: what the attempt's landing turn may cost. It is set aside with the first call that
-- names it, once an attempt, so that there is always money to stop in good order.
CREATE FUNCTION juggernaut.reserve_v2(p_task uuid, p_fence bigint, p_secret uuid, p_model text, p_purpose text, p_digest text,
                                      p_usd numeric, p_tokens bigint, p_landing_usd numeric, p_landing_tokens bigint) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_usd numeric;
  v_more numeric;
  v_lands boolean;
  v_scopes text[];
  v_call uuid;
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  v_usd := juggernaut.real_price(p_usd, 'a reservation');
  v_more := juggernaut.real_price(coalesce(p_landing_usd, 0), 'a landing turn');
  IF p_tokens < 0 OR p_landing_tokens < 0 OR coalesce(p_digest, '') = '' THEN
    PERFORM juggernaut.refuse('JG001', 'a reservation needs a digest, and no negative tokens');
  END IF;
  v_lands := p_landing_usd IS NOT NULL AND EXISTS (
    SELECT FROM juggernaut.attempts a WHERE a.task_id = t.id AND a.fence = t.fence AND a.landing_call IS NULL);
  v_scopes := juggernaut.lock_purses(juggernaut.purses_of(t));
  PERFORM juggernaut.set_aside(v_scopes, v_usd + CASE WHEN v_lands THEN v_more ELSE 0 END,
                               p_tokens + CASE WHEN v_lands THEN coalesce(p_landing_tokens, 0) ELSE 0 END);
  INSERT INTO juggernaut.model_calls (task_id, fence, goal_id, model, purpose, digest, scopes, reserved_usd, reserved_tokens, login)
    VALUES (t.id, t.fence, t.goal_id, p_model, p_purpose, p_digest, v_scopes, v_usd, coalesce(p_tokens, 0), juggernaut.acting())
    RETURNING id INTO v_call;
  IF v_lands THEN
    WITH aside AS (
      INSERT INTO juggernaut.model_calls (task_id, fence, goal_id, model, purpose, digest, scopes, reserved_usd, reserved_tokens, login)
        VALUES (t.id, t.fence, t.goal_id, p_model, p_purpose, '', v_scopes, v_more,
                CASE WHEN p_tokens IS NULL THEN 0 ELSE coalesce(p_landing_tokens, 0) END, juggernaut.acting())
        RETURNING id)
    UPDATE juggernaut.attempts a SET landing_call = aside.id FROM aside WHERE a.task_id = t.id AND a.fence = t.fence;
  END IF;
  RETURN v_call;
END
$$;

-- The form that a program without tokens uses: a purse that limits tokens refuses it.
CREATE OR REPLACE FUNCTION juggernaut.reserve_v1(p_task uuid, p_fence bigint, p_secret uuid, p_model text, p_purpose text, p_digest text, p_usd numeric)
RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT juggernaut.reserve_v2(p_task, p_fence, p_secret, p_model, p_purpose, p_digest, p_usd, NULL, NULL, NULL) $$;

-- Opens the reservation that was set aside for the landing turn: once an attempt, and for no more
-- than was set aside. It is settled like any other call.
CREATE FUNCTION juggernaut.landing_v1(p_task uuid, p_fence bigint, p_secret uuid, p_digest text, p_usd numeric, p_tokens bigint) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_usd numeric;
  v_call uuid;
BEGIN
  IF t.id IS NULL THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is not held by this attempt any more', p_task));
  END IF;
  v_usd := juggernaut.real_price(p_usd, 'a landing turn');
  UPDATE juggernaut.model_calls c SET digest = p_digest
    FROM juggernaut.attempts a
   WHERE a.task_id = t.id AND a.fence = t.fence AND c.id = a.landing_call AND c.state = 'reserved' AND c.digest = ''
     AND c.reserved_usd >= v_usd AND c.reserved_tokens >= p_tokens AND p_digest <> ''
  RETURNING c.id INTO v_call;
  IF v_call IS NULL THEN
    PERFORM juggernaut.refuse('JG002', format('purse task:%s: nothing, or less than %s, is set aside for a landing turn', t.id, trim_scale(v_usd)));
  END IF;
  RETURN v_call;
END
$$;

-- An attempt that needed no landing turn gives back what was set aside for it. Deferred to the
-- commit: whoever ends many attempts at once has all its task rows by then, and waits for purses only.
CREATE FUNCTION juggernaut.free_landing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.lock_purses((SELECT c.scopes FROM juggernaut.model_calls c WHERE c.id = NEW.landing_call));
  WITH unused AS (
    DELETE FROM juggernaut.model_calls c WHERE c.id = NEW.landing_call AND c.state = 'reserved' AND c.digest = ''
    RETURNING c.scopes, c.reserved_usd, c.reserved_tokens)
  UPDATE public.budgets b SET reserved_usd = b.reserved_usd - u.reserved_usd, reserved_tokens = b.reserved_tokens - u.reserved_tokens
    FROM unused u WHERE b.scope = ANY (u.scopes);
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER free_landing AFTER UPDATE OF ended_at ON juggernaut.attempts DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL AND NEW.landing_call IS NOT NULL) EXECUTE FUNCTION juggernaut.free_landing();

-- Settling needs no lease: the money is spent whoever holds the task now. What a call cost above
-- its reservation is taken as far as the purse has room; the call's row has all of it. `tokens` in
-- the facts is the provider's count; without it the call took what was reserved.
CREATE OR REPLACE FUNCTION juggernaut.settle(p_call uuid, p_usd numeric, p_facts jsonb, p_state text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  c juggernaut.model_calls;
  v_usd numeric := juggernaut.real_price(p_usd, 'settling a call');
  v_tokens bigint;
BEGIN
  PERFORM juggernaut.lock_purses((SELECT m.scopes FROM juggernaut.model_calls m WHERE m.id = p_call));
  SELECT * INTO c FROM juggernaut.model_calls WHERE id = p_call AND state = 'reserved' FOR UPDATE;
  IF c.id IS NULL THEN
    RETURN false;
  END IF;
  v_tokens := CASE WHEN p_facts ->> 'tokens' ~ '^[0-9]{1,15}$' THEN (p_facts ->> 'tokens')::bigint ELSE c.reserved_tokens END;
  UPDATE public.budgets
     SET reserved_usd = reserved_usd - c.reserved_usd,
         spent_usd = least(spent_usd + v_usd, cap_usd - (reserved_usd - c.reserved_usd)),
         reserved_tokens = reserved_tokens - c.reserved_tokens,
         spent_tokens = least(spent_tokens + v_tokens, cap_tokens - (reserved_tokens - c.reserved_tokens))
   WHERE scope = ANY (c.scopes);
  UPDATE juggernaut.model_calls
     SET state = p_state, cost_usd = v_usd, tokens = v_tokens, facts = coalesce(p_facts, '{}'), settled_at = clock_timestamp()
   WHERE id = c.id;
  RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.settle_v1(p_call uuid, p_usd numeric, p_facts jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.model_calls WHERE id = p_call AND login = juggernaut.acting() AND digest <> '') THEN
    PERFORM juggernaut.refuse('JG001', format('model call %s is not one of %s', p_call, juggernaut.acting()));
  END IF;
  RETURN juggernaut.settle(p_call, p_usd, p_facts, 'settled');
END
$$;

-- cap_tokens left out keeps the cap on tokens that there is; 'infinity' takes it away.
DROP FUNCTION public.set_budget(text, numeric);
CREATE FUNCTION public.set_budget(scope text, cap_usd numeric, cap_tokens numeric DEFAULT NULL) RETURNS numeric
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
  IF set_budget.scope IS NULL OR set_budget.scope !~ '^(day|role:[a-z][a-z0-9_]{0,40}|type:[a-z][a-z0-9_]{0,40}|(goal|task):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$' THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no purse', set_budget.scope), 'use day, goal:ID, task:ID, role:NAME or type:NAME');
  END IF;
  PERFORM juggernaut.real_price(set_budget.cap_usd, 'a cap');
  IF set_budget.cap_tokens < 0 OR set_budget.cap_tokens = 'NaN' OR (set_budget.cap_tokens <> 'Infinity' AND set_budget.cap_tokens > 1e15) THEN
    PERFORM juggernaut.refuse('JG001', format('%s is no cap on tokens', set_budget.cap_tokens), 'use 0 or more; ''infinity'' takes the cap away');
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

-- A task that a purse blocked goes on when the call that did not fit would fit now: a new day
-- began, other calls cost less than was set aside, or the cap was raised while it was blocked.
CREATE FUNCTION juggernaut.refill_purses_v1() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  n integer;
BEGIN
  UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1
   WHERE g.id = ANY (ARRAY(
     SELECT t.id FROM public.governance_tasks t
      CROSS JOIN LATERAL regexp_match(t.blocked_reason, '^purse (\S{1,100}): .* may (cost|take) ([0-9]{1,12}(?:\.[0-9]{1,6})?)(?: |$)') m
       JOIN public.spend s ON s.scope = m[1]
      WHERE t.status = 'blocked' AND t.blocked_reason LIKE 'purse %'
        AND m[3]::numeric <= CASE m[2] WHEN 'cost' THEN s.left_usd ELSE coalesce(s.left_tokens::numeric, 'Infinity') END
      ORDER BY t.blocked_at LIMIT 100 FOR UPDATE OF t SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;

CREATE OR REPLACE VIEW public.spend AS
  SELECT b.scope, b.cap_usd, n.spent_usd::numeric(14, 6) AS spent_usd, b.reserved_usd, b.cap_usd - n.spent_usd - b.reserved_usd AS left_usd,
         CASE WHEN b.period_start IS NULL THEN 'never' ELSE 'daily, 00:00 UTC' END AS resets,
         b.cap_tokens, n.spent_tokens, b.reserved_tokens, b.cap_tokens - n.spent_tokens - b.reserved_tokens AS left_tokens
    FROM public.budgets b CROSS JOIN LATERAL (
      SELECT CASE WHEN x.over THEN 0 ELSE b.spent_usd END AS spent_usd, CASE WHEN x.over THEN 0 ELSE b.spent_tokens END AS spent_tokens
        FROM (SELECT coalesce(b.period_start < (clock_timestamp() AT TIME ZONE 'UTC')::date, false) AS over) x) n
   ORDER BY b.scope;

GRANT EXECUTE ON FUNCTION
  juggernaut.reserve_v2(uuid, bigint, uuid, text, text, text, numeric, bigint, numeric, bigint),
  juggernaut.landing_v1(uuid, bigint, uuid, text, numeric, bigint), juggernaut.refill_purses_v1()
  TO juggernaut_worker;
