-- What a provider allows per minute, shared by the whole fleet; and tasks that wait because no model
-- can answer say so.
SET LOCAL ROLE juggernaut_owner;

-- A token bucket per model that holds one minute's worth: `..._until` is when it will be full again.
CREATE TABLE juggernaut.model_rates (
  model text PRIMARY KEY CHECK (length(model) BETWEEN 1 AND 300),
  requests_until timestamptz NOT NULL,
  tokens_until timestamptz NOT NULL
);

-- Takes one request and its tokens from a model's buckets, or nothing: one statement that carries its
-- own condition. Gives 0 when they were taken, else the seconds until there may be room. A call that
-- is larger than a whole minute's worth goes when the bucket is full, and the next ones wait for it.
-- The limits are the caller's (config/models.yaml); NULL is no limit.
CREATE FUNCTION juggernaut.take_rate_v1(p_model text, p_requests numeric, p_tokens numeric, p_call_tokens bigint) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_minute constant interval := '60 seconds';
  v_request interval;
  v_tokens interval;
BEGIN
  IF p_requests <= 0 OR p_tokens <= 0 OR coalesce(p_call_tokens, -1) < 0 OR p_requests > 1e9 OR p_tokens > 1e12 OR p_call_tokens > 1e9 THEN
    PERFORM juggernaut.refuse('JG001', format('model %s: limits per minute must be above 0, and a call''s tokens not negative', p_model));
  END IF;
  v_request := coalesce(v_minute / p_requests::float8, '0');
  v_tokens := coalesce(v_minute * (p_call_tokens / p_tokens)::float8, '0');
  INSERT INTO juggernaut.model_rates AS r (model, requests_until, tokens_until)
    VALUES (p_model, clock_timestamp() + v_request, clock_timestamp() + v_tokens)
    ON CONFLICT (model) DO UPDATE
       SET requests_until = greatest(r.requests_until, clock_timestamp()) + v_request,
           tokens_until = greatest(r.tokens_until, clock_timestamp()) + v_tokens
     WHERE (p_requests IS NULL OR r.requests_until <= clock_timestamp() + greatest(v_minute - v_request, '0'))
       AND (p_tokens IS NULL OR r.tokens_until <= clock_timestamp() + greatest(v_minute - v_tokens, '0'));
  IF FOUND THEN
    RETURN 0;
  END IF;
  RETURN (SELECT greatest(0.05, extract(epoch FROM greatest(
            CASE WHEN p_requests IS NOT NULL THEN r.requests_until - clock_timestamp() - greatest(v_minute - v_request, '0') END,
            CASE WHEN p_tokens IS NOT NULL THEN r.tokens_until - clock_timestamp() - greatest(v_minute - v_tokens, '0') END)))
            FROM juggernaut.model_rates r WHERE r.model = p_model);
END
$$;

-- A call takes the most that it may need; what it did not use goes back.
CREATE FUNCTION juggernaut.give_rate_v1(p_model text, p_tokens numeric, p_unused bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  UPDATE juggernaut.model_rates r SET tokens_until = r.tokens_until - interval '60 seconds' * (p_unused / p_tokens)::float8
   WHERE r.model = p_model AND p_tokens > 0 AND p_unused BETWEEN 1 AND 1000000000
$$;

-- As put_off_v1, but the reason stays on the row, where why() and why_idle show it, and whoever is put
-- off again and again comes back less often: twice as long each time, up to 15 minutes.
CREATE FUNCTION juggernaut.put_off_v2(p_task uuid, p_fence bigint, p_secret uuid, p_code text, p_reason text, p_seconds numeric) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks := juggernaut.held(p_task, p_fence, p_secret);
  v_before bigint;
  v_seconds numeric := least(greatest(p_seconds, 1), 3600);
BEGIN
  IF t.id IS NULL THEN
    RETURN coalesce(juggernaut.ended_as(p_task, p_fence, p_secret) = 'released', false);
  END IF;
  SELECT count(*) INTO v_before FROM juggernaut.attempts a
   WHERE a.task_id = t.id AND a.error_code = 'put_off' AND a.ended_at > clock_timestamp() - interval '1 hour';
  v_seconds := greatest(v_seconds, least(v_seconds * 2 ^ least(v_before, 10), 900));
  PERFORM juggernaut.end_attempt(t.id, t.fence, 'released', 'put_off', p_reason);
  UPDATE public.governance_tasks g SET status = 'pending', attempts = g.attempts - 1, assigned_worker = g.assignment,
         error_message = left(p_code || ': ' || p_reason, 16000),
         run_after = clock_timestamp() + make_interval(secs => v_seconds::float8),
         session_id = NULL, lease_login = NULL, lease_hash = NULL, lease_until = NULL
   WHERE g.id = t.id;
  RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION juggernaut.take_rate_v1(text, numeric, numeric, bigint), juggernaut.give_rate_v1(text, numeric, bigint),
  juggernaut.put_off_v2(uuid, bigint, uuid, text, text, numeric) TO juggernaut_worker;
