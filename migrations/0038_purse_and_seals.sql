-- One call, one edit or one row of a worker stops neither the purses nor the sweep nor the seals: what
-- a call may take is bounded, each duty of the sweep fails by itself, seals are cut by rows and not by
-- transactions, and a database that was restored into another cluster goes on with its chain.
SET LOCAL ROLE juggernaut_owner;

INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('unsealed_seconds', 900, 'seconds', 'an event that the audit chain does not cover for so long raises an alert');

-- Raises an alert unless somebody holds its row: whoever moves money or sweeps waits for no reader of alerts.
CREATE FUNCTION juggernaut.try_raise_alert(p_kind text, p_subject text, p_severity text, p_title text, p_details jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM FROM public.alerts a WHERE a.kind = p_kind AND a.subject = p_subject AND a.resolved_at IS NULL FOR UPDATE SKIP LOCKED;
  IF FOUND OR NOT EXISTS (SELECT FROM public.alerts a WHERE a.kind = p_kind AND a.subject = p_subject AND a.resolved_at IS NULL) THEN
    PERFORM juggernaut.raise_alert(p_kind, p_subject, p_severity, p_title, p_details);
  END IF;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.try_raise_alert(text, text, text, text, jsonb) FROM PUBLIC;

-- The purse ------------------------------------------------------------------------------------------
CREATE FUNCTION juggernaut.real_tokens(p_tokens bigint, p_what text) RETURNS bigint
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF p_tokens NOT BETWEEN 0 AND 1000000000 THEN
    PERFORM juggernaut.refuse('JG001', format('%s of %s tokens: it may have 0 to 1000000000', p_what, p_tokens), 'reserve what one call can take at most');
  END IF;
  RETURN p_tokens;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.real_tokens(bigint, text) FROM PUBLIC;

-- Sums are numeric and end at 10^18: two of them fit into a bigint, whatever stands in a row already.
CREATE OR REPLACE FUNCTION juggernaut.set_aside(p_scopes text[], p_usd numeric, p_tokens bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  b public.budgets;
  v_taken text[];
BEGIN
  WITH taken AS (
    UPDATE public.budgets
       SET reserved_usd = reserved_usd + p_usd, reserved_tokens = least(reserved_tokens::numeric + coalesce(p_tokens, 0), 1e18)::bigint,
           spent_tokens = least(spent_tokens, 1000000000000000000)
     WHERE scope = ANY (p_scopes) AND spent_usd + reserved_usd + p_usd <= cap_usd
       AND (cap_tokens IS NULL OR spent_tokens::numeric + reserved_tokens + p_tokens <= cap_tokens)
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

CREATE OR REPLACE FUNCTION juggernaut.reserve_v2(p_task uuid, p_fence bigint, p_secret uuid, p_model text, p_purpose text, p_digest text,
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
  IF coalesce(p_digest, '') = '' THEN
    PERFORM juggernaut.refuse('JG001', 'a reservation needs a digest');
  END IF;
  PERFORM juggernaut.real_tokens(p_tokens, 'a reservation'), juggernaut.real_tokens(p_landing_tokens, 'a landing turn');
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

-- It runs at the commit, where nothing can catch it: so it takes back at most what a purse has.
CREATE OR REPLACE FUNCTION juggernaut.free_landing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  PERFORM juggernaut.lock_purses((SELECT c.scopes FROM juggernaut.model_calls c WHERE c.id = NEW.landing_call));
  WITH unused AS (
    DELETE FROM juggernaut.model_calls c WHERE c.id = NEW.landing_call AND c.state = 'reserved' AND c.digest = ''
    RETURNING c.scopes, c.reserved_usd, c.reserved_tokens)
  UPDATE public.budgets b
     SET reserved_usd = greatest(b.reserved_usd - u.reserved_usd, 0), reserved_tokens = greatest(b.reserved_tokens - u.reserved_tokens, 0)
    FROM unused u WHERE b.scope = ANY (u.scopes);
  RETURN NULL;
END
$$;

-- The reservation is the highest price (B1, B2), so more is a fault, or a lie. It is paid as far as
-- every purse of the call has room, the smallest one too: a task of a cent empties no day. Tokens are
-- paid as reserved at most, and a call that reserved none is counted where they are not limited. What was
-- told stays in the facts, and an alert says it.
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
     SET reserved_usd = reserved_usd - c.reserved_usd,
         spent_usd = least(spent_usd + v_usd, cap_usd - (reserved_usd - c.reserved_usd)),
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

-- Purses that were filled up with tokens before there was a bound are counted anew, each call with the bound.
UPDATE juggernaut.model_calls SET reserved_tokens = least(reserved_tokens, 1000000000), tokens = least(tokens, 1000000000)
 WHERE reserved_tokens > 1000000000 OR tokens > 1000000000;
UPDATE public.budgets b
   SET spent_tokens = least(n.spent, 1e18)::bigint, reserved_tokens = least(n.reserved, 1e18)::bigint
  FROM (SELECT x.scope, coalesce(sum(c.tokens) FILTER (WHERE c.state <> 'reserved'
                 AND (x.period_start IS NULL OR c.settled_at >= x.period_start::timestamp AT TIME ZONE 'UTC')), 0) AS spent,
               coalesce(sum(c.reserved_tokens) FILTER (WHERE c.state = 'reserved'), 0) AS reserved
          FROM public.budgets x LEFT JOIN juggernaut.model_calls c ON x.scope = ANY (c.scopes)
         WHERE x.spent_tokens::numeric + x.reserved_tokens > 1e15 GROUP BY x.scope, x.period_start) n
 WHERE b.scope = n.scope;

-- As before, and a task whose move is refused keeps nobody else waiting.
CREATE OR REPLACE FUNCTION juggernaut.refill_purses_v1() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_task uuid;
  v_error text;
  n integer := 0;
BEGIN
  FOR v_task IN
    SELECT t.id FROM public.governance_tasks t
     CROSS JOIN LATERAL regexp_match(t.blocked_reason, '^purse (\S{1,100}): .* may (cost|take) ([0-9]{1,12}(?:\.[0-9]{1,6})?)(?: |$)') m
      JOIN public.spend s ON s.scope = m[1]
     WHERE t.status = 'blocked' AND t.blocked_reason LIKE 'purse %'
       AND m[3]::numeric <= CASE m[2] WHEN 'cost' THEN s.left_usd ELSE coalesce(s.left_tokens::numeric, 'Infinity') END
       AND (t.attempts < t.max_attempts OR juggernaut.wait_is_free(t.id))
     ORDER BY t.blocked_at LIMIT 100 FOR UPDATE OF t SKIP LOCKED
  LOOP
    BEGIN
      UPDATE public.governance_tasks g SET status = 'pending', fence = g.fence + 1 WHERE g.id = v_task;
      n := n + 1;
    EXCEPTION WHEN OTHERS THEN
      v_error := format('task %s: %s', v_task, left(SQLERRM, 300));
    END;
  END LOOP;
  IF v_error IS NOT NULL THEN
    PERFORM juggernaut.try_raise_alert('sweep_error', 'refill', 'error', format('the sweep could not go on with tasks that a purse blocked: %s', v_error),
                                       jsonb_build_object('duty', 'refill', 'message', v_error));
  ELSE
    UPDATE public.alerts SET resolved_at = clock_timestamp()
     WHERE id = ANY (ARRAY(SELECT a.id FROM public.alerts a WHERE a.kind = 'sweep_error' AND a.subject = 'refill' AND a.resolved_at IS NULL
                              FOR UPDATE SKIP LOCKED));
  END IF;
  RETURN n;
END
$$;

-- Seals ----------------------------------------------------------------------------------------------
-- form 1: one digest over the text of whole transactions, as sealed until now. form 2: one hash after
-- the other, up to a place in a transaction. An epoch is the life in one cluster: its transactions are
-- counted from anew, and its events are those with a higher number than all before.
ALTER TABLE juggernaut.seals
  ADD COLUMN form smallint NOT NULL DEFAULT 1,
  ADD COLUMN epoch integer NOT NULL DEFAULT 1,
  ADD COLUMN after_seq bigint NOT NULL DEFAULT '-9223372036854775808',
  ADD COLUMN last_seq bigint NOT NULL DEFAULT '9223372036854775807',
  ADD COLUMN cluster text;
ALTER TABLE juggernaut.seals DROP CONSTRAINT seals_pkey, ADD PRIMARY KEY (epoch, last_xid, last_seq);
COMMENT ON COLUMN juggernaut.seals.cluster IS 'which cluster the transactions are of, where the server says it';

-- Each row is hashed by itself, and what can be large apart from the rest: no size adds up.
CREATE FUNCTION juggernaut.event_hash(e juggernaut.events) RETURNS bytea
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT sha256(sha256(convert_to(jsonb_build_array(e.seq, e.at, e.login, e.application, e.kind, e.subject, e.before IS NULL, e.after IS NULL)::text, 'UTF8'))
                || coalesce(sha256(convert_to(e.before::text, 'UTF8')), '') || coalesce(sha256(convert_to(e.after::text, 'UTF8')), ''))
$$;
REVOKE ALL ON FUNCTION juggernaut.event_hash(juggernaut.events) FROM PUBLIC;

-- Hashes the events of an epoch after one place up to another, at most p_rows of them, or for as long as p_until_at.
CREATE FUNCTION juggernaut.seal_fold(p_before bytea, p_after bigint, p_until bigint, p_from xid8, p_from_seq bigint, p_to xid8, p_to_seq bigint,
                                     p_rows integer, p_until_at timestamptz,
                                     OUT digest bytea, OUT n integer, OUT seqs bigint[], OUT marks bytea[], OUT last_xid xid8, OUT last_seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  e record;
  v_hash bytea;
BEGIN
  digest := p_before;
  seqs := '{}';
  marks := '{}';
  n := 0;
  FOR e IN
    SELECT x.xid, x.seq FROM juggernaut.events x
     WHERE x.xid >= p_from AND x.xid <= p_to AND (x.xid, x.seq) > (p_from, p_from_seq) AND (x.xid, x.seq) <= (p_to, p_to_seq)
       AND x.seq > p_after AND x.seq <= p_until
     ORDER BY x.xid, x.seq LIMIT p_rows
  LOOP
    -- One at a time: a loop fetches rows ahead, and one row can take a second.
    SELECT juggernaut.event_hash(x) INTO v_hash FROM juggernaut.events x WHERE x.seq = e.seq;
    digest := sha256(digest || v_hash);
    seqs := seqs || e.seq;
    marks := marks || substring(v_hash FROM 1 FOR 8);
    n := n + 1;
    last_xid := e.xid;
    last_seq := e.seq;
    EXIT WHEN clock_timestamp() > p_until_at;
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.seal_fold(bytea, bigint, bigint, xid8, bigint, xid8, bigint, integer, timestamptz) FROM PUBLIC;

-- The two of form 1, which also end where the next epoch begins.
DROP FUNCTION juggernaut.seal_bytes(bytea, xid8, xid8), juggernaut.seal_marks(xid8, xid8), juggernaut.first_bad_row(xid8, juggernaut.seals);
CREATE FUNCTION juggernaut.seal_bytes(p_before bytea, p_until bigint, p_from xid8, p_to xid8, OUT digest bytea, OUT n integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp SET timezone = 'UTC'
AS $$
  SELECT sha256(p_before || convert_to(coalesce(string_agg(juggernaut.event_text(e), E'\n' ORDER BY e.xid, e.seq), ''), 'UTF8')), count(*)::integer
    FROM juggernaut.events e WHERE e.xid > p_from AND e.xid <= p_to AND e.seq <= p_until
$$;
REVOKE ALL ON FUNCTION juggernaut.seal_bytes(bytea, bigint, xid8, xid8) FROM PUBLIC;
CREATE FUNCTION juggernaut.seal_marks(p_until bigint, p_from xid8, p_to xid8, OUT seqs bigint[], OUT marks bytea[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp SET timezone = 'UTC'
AS $$
  SELECT array_agg(e.seq ORDER BY e.xid, e.seq),
         array_agg(substring(sha256(convert_to(juggernaut.event_text(e), 'UTF8')) FROM 1 FOR 8) ORDER BY e.xid, e.seq)
    FROM juggernaut.events e WHERE e.xid > p_from AND e.xid <= p_to AND e.seq <= p_until
$$;
REVOKE ALL ON FUNCTION juggernaut.seal_marks(bigint, xid8, xid8) FROM PUBLIC;

CREATE FUNCTION juggernaut.cluster_mark() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  RETURN (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() c);
EXCEPTION WHEN insufficient_privilege THEN
  RETURN NULL; -- a managed host: the number of the next transaction has to do
END
$$;
REVOKE ALL ON FUNCTION juggernaut.cluster_mark() FROM PUBLIC;

-- The newest seal, and whether its transactions are those of another cluster (a dump was restored: its
-- next transaction would be one that was sealed long ago). Then the events up to `until` are of there.
CREATE FUNCTION juggernaut.seal_border(OUT newest juggernaut.seals, OUT moved boolean, OUT until bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_next xid8;
BEGIN
  SELECT * INTO newest FROM juggernaut.seals s ORDER BY s.epoch DESC, s.last_xid DESC, s.last_seq DESC LIMIT 1;
  v_next := pg_snapshot_xmax(pg_current_snapshot());
  IF newest.epoch IS NULL THEN
    newest.epoch := 1;
    newest.digest := '';
    newest.after_seq := '-9223372036854775808';
    newest.last_xid := '0';
    newest.last_seq := 0;
    newest.cluster := juggernaut.cluster_mark();
  END IF;
  moved := newest.last_xid >= v_next OR coalesce(newest.cluster <> juggernaut.cluster_mark(), false);
  until := '9223372036854775807';
  IF moved THEN
    -- What is sealed, and what has a transaction that does not exist here yet: new events have higher numbers.
    until := greatest(newest.after_seq,
      (SELECT max(q) FROM juggernaut.seals s, unnest(s.seqs) q WHERE s.epoch = newest.epoch),
      (SELECT max(e.seq) FROM juggernaut.events e WHERE e.xid >= v_next AND e.xid > newest.last_xid AND e.seq > newest.after_seq));
  END IF;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.seal_border() FROM PUBLIC;

CREATE FUNCTION juggernaut.epoch_digest(p_before bytea, p_epoch integer, p_after bigint) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$ SELECT sha256(p_before || convert_to(format('epoch %s after event %s', p_epoch, p_after), 'UTF8')) $$;
REVOKE ALL ON FUNCTION juggernaut.epoch_digest(bytea, integer, bigint) FROM PUBLIC;

-- Seals what has ended, at most 5000 rows or a second a seal, and five seconds a call: whatever one
-- transaction wrote, the next call goes on in the middle of it.
CREATE OR REPLACE FUNCTION juggernaut.seal_audit() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  b record;
  f record;
  last_seal juggernaut.seals;
  v_to xid8;
  v_cluster text;
  v_whole boolean;
  v_until_at timestamptz := clock_timestamp() + interval '5 seconds';
  n_sealed integer := 0;
BEGIN
  IF NOT juggernaut.alone('seal') THEN
    RETURN 0;
  END IF;
  SELECT * INTO b FROM juggernaut.seal_border();
  last_seal := b.newest;
  -- Of another cluster everything has ended; it is sealed in its own name before a new epoch begins.
  v_to := CASE WHEN b.moved THEN '18446744073709551615'::xid8 ELSE pg_snapshot_xmin(pg_current_snapshot()) END;
  v_cluster := CASE WHEN b.moved THEN last_seal.cluster ELSE juggernaut.cluster_mark() END;
  FOR batch IN 1..20 LOOP
    SELECT * INTO f FROM juggernaut.seal_fold(last_seal.digest, last_seal.after_seq, b.until, last_seal.last_xid, last_seal.last_seq,
                                              v_to, '-9223372036854775808', 5000, clock_timestamp() + interval '1 second');
    IF f.n = 0 THEN
      EXIT WHEN NOT b.moved;
      v_cluster := juggernaut.cluster_mark();
      INSERT INTO juggernaut.seals (form, epoch, after_seq, last_xid, last_seq, rows_sealed, digest, seqs, marks, cluster)
        VALUES (2, last_seal.epoch + 1, b.until, '0', 0, 0, juggernaut.epoch_digest(last_seal.digest, last_seal.epoch + 1, b.until), '{}', '{}', v_cluster)
        RETURNING * INTO last_seal;
      b.moved := false;
      b.until := '9223372036854775807';
      v_to := pg_snapshot_xmin(pg_current_snapshot());
      CONTINUE;
    END IF;
    -- A seal that ends with its transaction covers it to the end: nothing can be put behind its last row.
    v_whole := NOT EXISTS (SELECT FROM juggernaut.events e WHERE e.xid = f.last_xid AND e.seq > f.last_seq AND e.seq <= b.until);
    INSERT INTO juggernaut.seals (form, epoch, after_seq, last_xid, last_seq, rows_sealed, digest, seqs, marks, cluster)
      VALUES (2, last_seal.epoch, last_seal.after_seq, f.last_xid, CASE WHEN v_whole THEN '9223372036854775807' ELSE f.last_seq END,
              f.n, f.digest, f.seqs, f.marks, v_cluster)
      RETURNING * INTO last_seal;
    n_sealed := n_sealed + f.n;
    EXIT WHEN clock_timestamp() > v_until_at;
  END LOOP;
  RETURN n_sealed;
END
$$;

-- Names the first row under a broken seal that is not what it was.
CREATE FUNCTION juggernaut.first_bad_row(p_until bigint, p_from xid8, p_from_seq bigint, p_to xid8, p_to_seq bigint, s juggernaut.seals) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  k record;
  bad record;
  e juggernaut.events;
BEGIN
  IF s.form = 1 THEN
    SELECT * INTO k FROM juggernaut.seal_marks(p_until, p_from, p_to);
  ELSE
    SELECT * INTO k FROM juggernaut.seal_fold('', s.after_seq, p_until, p_from, p_from_seq, p_to, p_to_seq, NULL, NULL);
  END IF;
  SELECT coalesce(was.seq, now_.seq) AS seq, was.seq IS NULL AS added, now_.seq IS NULL AS gone INTO bad
    FROM unnest(s.seqs, s.marks) AS was (seq, mark)
    FULL JOIN unnest(k.seqs, k.marks) AS now_ (seq, mark) ON now_.seq = was.seq
   WHERE was.mark IS DISTINCT FROM now_.mark ORDER BY 1 LIMIT 1;
  IF bad.seq IS NULL THEN
    RETURN format('the seal of transactions after %s up to %s itself was changed', p_from, s.last_xid);
  END IF;
  SELECT * INTO e FROM juggernaut.events x WHERE x.seq = bad.seq;
  RETURN format('event %s %s (sealed %s)', bad.seq,
    CASE WHEN bad.gone THEN 'is gone'
         ELSE format('%s: %s of %s by %s', CASE WHEN bad.added THEN 'was added' ELSE 'was changed' END, e.kind, e.subject, e.login) END,
    s.sealed_at);
END
$$;
REVOKE ALL ON FUNCTION juggernaut.first_bad_row(bigint, xid8, bigint, xid8, bigint, juggernaut.seals) FROM PUBLIC;

CREATE OR REPLACE FUNCTION public.audit_verify() RETURNS TABLE (ok boolean, sealed bigint, unsealed bigint, first_bad text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  r record;
  b record;
  again record;
  s juggernaut.seals;
  v_before bytea := '';
  v_epoch integer := 0;
  v_until bigint;
  v_from xid8 := '0';
  v_from_seq bigint := 0;
  v_to xid8;
  v_to_seq bigint;
  v_sealed bigint := 0;
  v_unsealed bigint;
  v_bad text;
BEGIN
  SELECT * INTO b FROM juggernaut.seal_border();
  s := b.newest;
  SELECT count(*) INTO v_unsealed FROM juggernaut.events e
   WHERE e.seq > s.after_seq AND ((e.xid, e.seq) > (s.last_xid, s.last_seq) OR e.seq > b.until);
  FOR r IN SELECT x AS seal, lead(x.epoch) OVER (ORDER BY x.epoch, x.last_xid, x.last_seq) AS next_epoch
             FROM juggernaut.seals x ORDER BY x.epoch, x.last_xid, x.last_seq
  LOOP
    s := r.seal;
    IF s.epoch <> v_epoch THEN
      v_until := coalesce((SELECT min(x.after_seq) FROM juggernaut.seals x WHERE x.epoch = s.epoch + 1), b.until);
      v_from := '0';
      v_from_seq := 0;
      v_epoch := s.epoch;
    END IF;
    -- What came to an epoch that is over came behind its last seal.
    v_to := CASE WHEN r.next_epoch <> s.epoch THEN '18446744073709551615' ELSE s.last_xid END;
    v_to_seq := CASE WHEN r.next_epoch <> s.epoch THEN '9223372036854775807' ELSE s.last_seq END;
    IF s.form = 1 THEN
      SELECT x.digest, x.n INTO again FROM juggernaut.seal_bytes(v_before, v_until, v_from, v_to) x;
    ELSIF s.epoch > 1 AND s.last_xid = '0' THEN
      SELECT juggernaut.epoch_digest(v_before, s.epoch, s.after_seq) AS digest, 0 AS n INTO again;
    ELSE
      SELECT x.digest, x.n INTO again FROM juggernaut.seal_fold(v_before, s.after_seq, v_until, v_from, v_from_seq, v_to, v_to_seq, NULL, NULL) x;
    END IF;
    IF again.digest <> s.digest OR again.n <> s.rows_sealed THEN
      v_bad := CASE WHEN s.seqs IS NULL THEN format('events of transactions after %s up to %s were changed', v_from, s.last_xid)
                    ELSE juggernaut.first_bad_row(v_until, v_from, v_from_seq, v_to, v_to_seq, s) END;
      EXIT;
    END IF;
    v_sealed := v_sealed + s.rows_sealed;
    v_before := s.digest;
    v_from := s.last_xid;
    v_from_seq := s.last_seq;
  END LOOP;
  RETURN QUERY SELECT v_bad IS NULL, v_sealed, v_unsealed, v_bad;
END
$$;

-- An open transaction that has a number keeps everything behind it from being sealed. A reader writes
-- nothing and needs none: after transaction_seconds it is ended, like a worker's.
CREATE FUNCTION juggernaut.end_numbered_readers() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  old record;
  n integer := 0;
BEGIN
  FOR old IN
    SELECT a.pid, a.usename, a.xact_start FROM pg_catalog.pg_stat_activity a
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xid IS NOT NULL
       AND a.xact_start < clock_timestamp() - juggernaut.seconds('transaction_seconds')
       AND pg_has_role(a.usesysid, 'juggernaut_reader', 'MEMBER') AND NOT pg_has_role(a.usesysid, 'juggernaut_approver', 'MEMBER')
       AND NOT pg_has_role(a.usesysid, 'juggernaut_owner', 'MEMBER')
  LOOP
    IF pg_terminate_backend(old.pid) THEN
      PERFORM juggernaut.record_event('transaction.ended', old.usename, NULL, jsonb_build_object('since', old.xact_start));
      n := n + 1;
    END IF;
  END LOOP;
  RETURN n;
EXCEPTION WHEN insufficient_privilege THEN
  RETURN n; -- a managed host
END
$$;
REVOKE ALL ON FUNCTION juggernaut.end_numbered_readers() FROM PUBLIC;

CREATE FUNCTION juggernaut.watch_seals() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  b record;
  s juggernaut.seals;
  v_at timestamptz;
BEGIN
  SELECT * INTO b FROM juggernaut.seal_border();
  s := b.newest;
  SELECT e.at INTO v_at FROM juggernaut.events e
   WHERE e.xid >= s.last_xid AND (e.xid, e.seq) > (s.last_xid, s.last_seq) AND e.seq > s.after_seq ORDER BY e.xid, e.seq LIMIT 1;
  IF v_at < clock_timestamp() - juggernaut.seconds('unsealed_seconds') THEN
    PERFORM juggernaut.try_raise_alert('audit_unsealed', 'events', 'error', format('events since %s are not sealed', v_at),
                                       jsonb_build_object('since', v_at));
  ELSE
    UPDATE public.alerts SET resolved_at = clock_timestamp()
     WHERE id = ANY (ARRAY(SELECT a.id FROM public.alerts a WHERE a.kind = 'audit_unsealed' AND a.resolved_at IS NULL FOR UPDATE SKIP LOCKED));
  END IF;
END
$$;
REVOKE ALL ON FUNCTION juggernaut.watch_seals() FROM PUBLIC;

-- The sweep ------------------------------------------------------------------------------------------
-- Each duty, and each row that a worker may have written, fails by itself: the answer and an alert say
-- it, and the others go on.
CREATE OR REPLACE FUNCTION juggernaut.sweep_v1() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  c record;
  v_errors jsonb := '[]';
  n_expired integer := 0; n_dead integer := 0; n_stale integer := 0; n_due integer := 0; n_written integer := 0; n_sealed integer := 0;
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    PERFORM juggernaut.refuse_old_snapshot();
  END IF;
  -- First, and by everybody: who holds a duty in an open transaction is ended from outside of it.
  BEGIN
    PERFORM juggernaut.end_old_transactions();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'transactions', 'message', left(SQLERRM, 300));
  END;
  IF NOT juggernaut.alone('sweep') THEN
    RETURN jsonb_build_object('skipped', true);
  END IF;
  BEGIN
    FOR t IN
      SELECT g.* FROM public.governance_tasks g LEFT JOIN juggernaut.sessions s ON s.id = g.session_id
       WHERE g.lease_login IS NOT NULL AND (g.lease_until <= clock_timestamp() OR s.closed_at IS NOT NULL OR s.expires_at <= clock_timestamp())
       ORDER BY g.id LIMIT 500 FOR UPDATE OF g SKIP LOCKED
    LOOP
      BEGIN
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
      EXCEPTION WHEN OTHERS THEN
        v_errors := v_errors || jsonb_build_object('duty', 'leases', 'of', t.id, 'message', left(SQLERRM, 300));
      END;
    END LOOP;
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'leases', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    UPDATE public.worker_registry w SET status = 'stale', current_task_id = NULL
      FROM juggernaut.sessions s
     WHERE s.id = w.instance_id AND w.worker_id = ANY (ARRAY(
             SELECT r.worker_id FROM public.worker_registry r JOIN juggernaut.sessions x ON x.id = r.instance_id
              WHERE r.status NOT IN ('stale', 'offline') AND x.closed_at IS NULL
                AND x.beat_at < clock_timestamp() - greatest(juggernaut.seconds('stale_seconds'), interval '1 second')
                FOR NO KEY UPDATE OF r SKIP LOCKED));
    GET DIAGNOSTICS n_stale = ROW_COUNT;
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'registry', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    -- A session that ran out and that no worker's row names any more is over.
    UPDATE juggernaut.sessions s SET closed_at = clock_timestamp(), waiting = false
     WHERE s.id = ANY (ARRAY(SELECT x.id FROM juggernaut.sessions x
                              WHERE x.closed_at IS NULL AND x.expires_at <= clock_timestamp()
                                AND NOT EXISTS (SELECT FROM public.worker_registry r WHERE r.instance_id = x.id)
                              ORDER BY x.expires_at LIMIT 500 FOR UPDATE OF x SKIP LOCKED));
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'sessions', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    UPDATE public.governance_tasks g SET due_at = NULL
     WHERE g.id = ANY (ARRAY(SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp()
                              ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n_due = ROW_COUNT;
  EXCEPTION WHEN OTHERS THEN
    -- All at once did not go: one after the other, so that one of them keeps nobody waiting.
    FOR c IN SELECT d.id FROM public.governance_tasks d WHERE d.due_at <= clock_timestamp() ORDER BY d.due_at LIMIT 500 FOR UPDATE SKIP LOCKED LOOP
      BEGIN
        UPDATE public.governance_tasks g SET due_at = NULL WHERE g.id = c.id;
        n_due := n_due + 1;
      EXCEPTION WHEN OTHERS THEN
        v_errors := v_errors || jsonb_build_object('duty', 'due', 'of', c.id, 'message', left(SQLERRM, 300));
      END;
    END LOOP;
  END;
  BEGIN
    FOR c IN
      SELECT m.id, m.reserved_usd FROM juggernaut.model_calls m JOIN juggernaut.attempts a USING (task_id, fence)
       WHERE m.state = 'reserved' AND a.ended_at < clock_timestamp() - juggernaut.seconds('write_off_seconds') LIMIT 200
    LOOP
      BEGIN
        PERFORM juggernaut.settle(c.id, c.reserved_usd, '{"written_off": "the attempt ended without settling"}', 'written_off');
        n_written := n_written + 1;
      EXCEPTION WHEN OTHERS THEN
        v_errors := v_errors || jsonb_build_object('duty', 'write-offs', 'of', c.id, 'message', left(SQLERRM, 300));
      END;
    END LOOP;
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'write-offs', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    UPDATE public.approvals SET escalated_at = clock_timestamp()
     WHERE id = ANY (ARRAY(SELECT a.id FROM public.approvals a
                            WHERE a.status = 'pending' AND a.escalated_at IS NULL
                              AND a.requested_at < clock_timestamp() - juggernaut.seconds('approval_seconds') FOR NO KEY UPDATE SKIP LOCKED));
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'approvals', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    PERFORM juggernaut.end_numbered_readers();
    n_sealed := juggernaut.seal_audit();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'seals', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    PERFORM juggernaut.watch_seals();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'seals', 'message', left(SQLERRM, 300));
  END;
  BEGIN
    PERFORM juggernaut.keep_log_partitions();
  EXCEPTION WHEN OTHERS THEN
    v_errors := v_errors || jsonb_build_object('duty', 'log partitions', 'message', left(SQLERRM, 300));
  END;
  FOR c IN SELECT e ->> 'duty' AS duty, count(*) AS times, min(concat_ws(': ', e ->> 'of', e ->> 'message')) AS message
             FROM jsonb_array_elements(v_errors) e GROUP BY 1 ORDER BY 1
  LOOP
    PERFORM juggernaut.try_raise_alert('sweep_error', c.duty, 'error', format('the sweep failed %s times at %s: %s', c.times, c.duty, c.message),
                                       jsonb_build_object('duty', c.duty, 'times', c.times, 'message', c.message));
  END LOOP;
  UPDATE public.alerts SET resolved_at = clock_timestamp()
   WHERE id = ANY (ARRAY(SELECT a.id FROM public.alerts a
                          WHERE a.kind = 'sweep_error' AND a.resolved_at IS NULL AND a.subject <> 'refill'
                            AND NOT v_errors @> jsonb_build_array(jsonb_build_object('duty', a.subject)) FOR UPDATE SKIP LOCKED));
  RETURN jsonb_build_object('expired', n_expired, 'given_up', n_dead, 'stale', n_stale, 'due', n_due, 'written_off', n_written, 'sealed', n_sealed,
                            'errors', jsonb_path_query_array(v_errors, '$[0 to 19]'));
END
$$;
