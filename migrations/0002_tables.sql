-- The tables that people touch (schema public) and the machinery behind them (juggernaut).
SET LOCAL ROLE juggernaut_owner;

CREATE TABLE public.goals (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  title text NOT NULL CHECK (length(btrim(title)) BETWEEN 1 AND 300),
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 100000),
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'completed', 'failed', 'cancelled')),
  repo text,
  budget_usd numeric(12, 6) CHECK (budget_usd >= 0),
  replans integer NOT NULL DEFAULT 0,
  outcome jsonb,
  created_by text NOT NULL DEFAULT session_user,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  completed_at timestamptz,
  CHECK (status = 'active' OR (completed_at IS NOT NULL AND outcome IS NOT NULL))
);
CREATE INDEX goals_active ON public.goals (created_at) WHERE status = 'active';

CREATE TABLE public.governance_tasks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  goal_id uuid REFERENCES public.goals,
  parent_task_id uuid REFERENCES public.governance_tasks,
  title text NOT NULL CHECK (length(btrim(title)) BETWEEN 1 AND 300),
  description text NOT NULL DEFAULT '' CHECK (length(description) <= 100000),
  task_type text NOT NULL REFERENCES juggernaut.task_types,
  priority text NOT NULL DEFAULT 'medium' REFERENCES juggernaut.priorities,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN (
    'pending', 'waiting', 'waiting_approval', 'in_progress', 'awaiting_merge',
    'blocked', 'completed', 'failed', 'rejected', 'cancelled')),
  risk_level text NOT NULL DEFAULT 'low' REFERENCES juggernaut.risks,
  acceptance_criteria text CHECK (length(acceptance_criteria) <= 60000),
  assigned_worker text,
  requires_approval boolean NOT NULL DEFAULT false,
  approval_reason text,
  approved_by text,
  approved_at timestamptz,
  created_by text NOT NULL DEFAULT session_user,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  completed_at timestamptz,
  completion_evidence text CHECK (length(completion_evidence) <= 65536),
  error_message text CHECK (length(error_message) <= 16384),
  blocked_reason text,
  blocked_owner text,
  blocked_at timestamptz,
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  max_attempts integer NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 20),
  run_after timestamptz,
  deadline timestamptz,
  timeout_seconds integer NOT NULL DEFAULT 3600 CHECK (timeout_seconds BETWEEN 1 AND 86400),
  budget_usd numeric(12, 6) CHECK (budget_usd >= 0),
  payload jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object' AND pg_column_size(payload) <= 1048576),
  result jsonb,
  dedupe_key text CHECK (length(dedupe_key) <= 300),
  concurrency_key text CHECK (length(concurrency_key) <= 300),
  depends_on uuid[] NOT NULL DEFAULT '{}',
  repo text,
  -- What the machinery needs; no run-time login may write any of these.
  depth integer NOT NULL DEFAULT 0,
  waits integer NOT NULL DEFAULT 0 CHECK (waits >= 0),
  ready boolean NOT NULL DEFAULT false,
  due_at timestamptz,
  lane integer,
  claim_key bigint,
  assignment text,
  fence bigint NOT NULL DEFAULT 0,
  session_id uuid,
  lease_login text,
  lease_hash bytea,
  lease_until timestamptz,
  risk_factors text[] NOT NULL DEFAULT '{}',
  plan_digest text,
  evidence_id bigint,
  CONSTRAINT completed_has_evidence CHECK (status <> 'completed' OR (evidence_id IS NOT NULL AND completed_at IS NOT NULL)),
  CONSTRAINT in_progress_has_holder CHECK ((status = 'in_progress') = (lease_login IS NOT NULL)),
  CONSTRAINT holder_has_fence CHECK (lease_login IS NULL OR (fence > 0 AND session_id IS NOT NULL AND lease_until IS NOT NULL)),
  CONSTRAINT ready_is_claimable CHECK (NOT ready OR (status = 'pending' AND waits = 0 AND lane IS NOT NULL AND claim_key IS NOT NULL)),
  CONSTRAINT waiting_has_needs CHECK ((status = 'waiting') <= (waits > 0)),
  CONSTRAINT blocked_has_owner CHECK (status <> 'blocked' OR (blocked_reason IS NOT NULL AND blocked_owner IS NOT NULL AND blocked_at IS NOT NULL)),
  CONSTRAINT failed_has_reason CHECK (status <> 'failed' OR length(btrim(error_message)) > 0)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX tasks_ready ON public.governance_tasks (lane, claim_key, id) WHERE ready;
CREATE INDEX tasks_due ON public.governance_tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_leased ON public.governance_tasks (session_id) WHERE lease_login IS NOT NULL;
CREATE INDEX tasks_goal ON public.governance_tasks (goal_id) WHERE goal_id IS NOT NULL;
CREATE INDEX tasks_parent ON public.governance_tasks (parent_task_id) WHERE parent_task_id IS NOT NULL;
CREATE INDEX tasks_open ON public.governance_tasks (status, created_at)
  WHERE status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
CREATE UNIQUE INDEX tasks_dedupe ON public.governance_tasks (dedupe_key)
  WHERE dedupe_key IS NOT NULL AND status NOT IN ('completed', 'failed', 'rejected', 'cancelled');
CREATE UNIQUE INDEX tasks_concurrency ON public.governance_tasks (concurrency_key)
  WHERE concurrency_key IS NOT NULL AND lease_login IS NOT NULL;

CREATE TABLE juggernaut.lanes (
  lane integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_type text NOT NULL REFERENCES juggernaut.task_types,
  assignment text NOT NULL,
  UNIQUE (task_type, assignment)
);

CREATE TABLE juggernaut.dependencies (
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  needs_id uuid NOT NULL REFERENCES public.governance_tasks,
  met boolean NOT NULL DEFAULT false,
  PRIMARY KEY (task_id, needs_id),
  CHECK (task_id <> needs_id)
);
CREATE INDEX dependencies_needs ON juggernaut.dependencies (needs_id) WHERE NOT met;

CREATE TABLE juggernaut.criteria (
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  number integer NOT NULL CHECK (number BETWEEN 1 AND 30),
  text text NOT NULL CHECK (length(btrim(text)) BETWEEN 1 AND 2000),
  check_argv jsonb CHECK (jsonb_typeof(check_argv) = 'array'),
  accepted_by text,
  accepted_note text,
  PRIMARY KEY (task_id, number)
);

CREATE TABLE public.worker_registry (
  worker_id text PRIMARY KEY CHECK (length(btrim(worker_id)) BETWEEN 1 AND 200),
  worker_type text NOT NULL CHECK (worker_type ~ '^[a-z][a-z0-9_]{0,40}$'),
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'idle', 'busy', 'stale', 'offline')),
  capabilities jsonb NOT NULL DEFAULT '[]',
  current_task_id uuid REFERENCES public.governance_tasks,
  last_heartbeat timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  version text,
  host text,
  pid integer,
  instance_id uuid,
  metadata jsonb NOT NULL DEFAULT '{}',
  login text NOT NULL DEFAULT session_user
);
COMMENT ON COLUMN public.worker_registry.capabilities IS 'as the worker declares them; power comes from juggernaut.grants alone';

CREATE TABLE juggernaut.sessions (
  id uuid PRIMARY KEY,
  worker_id text NOT NULL,
  worker_type text NOT NULL,
  login text NOT NULL,
  secret_hash bytea,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  closed_at timestamptz,
  waiting boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
COMMENT ON COLUMN juggernaut.sessions.secret_hash IS 'null: a worker that uses plain SQL and is known by its login';
CREATE INDEX sessions_open ON juggernaut.sessions (expires_at) WHERE closed_at IS NULL;

CREATE TABLE juggernaut.attempts (
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  fence bigint NOT NULL,
  session_id uuid NOT NULL REFERENCES juggernaut.sessions,
  worker_id text NOT NULL,
  login text NOT NULL,
  lease_hash bytea,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  ended_as text CHECK (ended_as IN ('completed', 'failed', 'retry', 'released', 'expired', 'parked', 'blocked', 'cancelled', 'awaiting_merge')),
  error_code text,
  error_message text,
  PRIMARY KEY (task_id, fence)
);
CREATE INDEX attempts_ended ON juggernaut.attempts (ended_at);

CREATE TABLE juggernaut.plans (
  task_id uuid NOT NULL,
  fence bigint NOT NULL,
  gate text NOT NULL CHECK (gate IN ('plan', 'diff')),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  body jsonb NOT NULL CHECK (pg_column_size(body) <= 4194304),
  risk_level text NOT NULL REFERENCES juggernaut.risks,
  factors text[] NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (task_id, fence, gate),
  FOREIGN KEY (task_id, fence) REFERENCES juggernaut.attempts
);

CREATE TABLE public.approvals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  gate text NOT NULL CHECK (gate IN ('plan', 'diff')),
  digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
  body jsonb NOT NULL,
  risk_level text NOT NULL REFERENCES juggernaut.risks,
  factors text[] NOT NULL DEFAULT '{}',
  reason text NOT NULL,
  need smallint NOT NULL CHECK (need > 0),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected', 'void')),
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  escalated_at timestamptz,
  decided_at timestamptz,
  UNIQUE (task_id, gate, digest)
);
CREATE UNIQUE INDEX approvals_open ON public.approvals (task_id) WHERE status = 'pending';

CREATE TABLE juggernaut.decisions (
  approval_id bigint NOT NULL REFERENCES public.approvals,
  decided_by text NOT NULL,
  decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
  note text NOT NULL DEFAULT '',
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (approval_id, decided_by)
);

CREATE TABLE juggernaut.evidence (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL,
  fence bigint NOT NULL,
  kind text NOT NULL REFERENCES juggernaut.task_types,
  facts jsonb NOT NULL CHECK (jsonb_typeof(facts) = 'object' AND pg_column_size(facts) <= 65536),
  source text NOT NULL CHECK (source IN ('verifier', 'self-reported')),
  recorded_by text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (id, task_id, fence),
  FOREIGN KEY (task_id, fence) REFERENCES juggernaut.attempts
);
CREATE INDEX evidence_task ON juggernaut.evidence (task_id);
ALTER TABLE public.governance_tasks ADD CONSTRAINT evidence_is_of_this_attempt
  FOREIGN KEY (evidence_id, id, fence) REFERENCES juggernaut.evidence (id, task_id, fence);

CREATE TABLE juggernaut.verdicts (
  task_id uuid NOT NULL,
  fence bigint NOT NULL,
  number integer NOT NULL,
  verdict text NOT NULL CHECK (verdict IN ('met', 'unmet', 'unknown')),
  source text NOT NULL CHECK (source IN ('verifier', 'person', 'self-reported')),
  facts jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (task_id, fence, number),
  FOREIGN KEY (task_id, fence) REFERENCES juggernaut.attempts,
  FOREIGN KEY (task_id, number) REFERENCES juggernaut.criteria
);

CREATE TABLE juggernaut.effects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  kind text NOT NULL CHECK (kind ~ '^[a-z][a-z_]{0,40}$'),
  key text NOT NULL CHECK (length(key) <= 500),
  state text NOT NULL DEFAULT 'intended' CHECK (state IN ('intended', 'confirmed')),
  fence bigint NOT NULL,
  request jsonb NOT NULL,
  result jsonb,
  intended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  confirmed_at timestamptz,
  UNIQUE (task_id, kind, key),
  CHECK ((state = 'confirmed') = (result IS NOT NULL))
);

CREATE TABLE public.budgets (
  scope text PRIMARY KEY CHECK (scope ~ '^(day|(role|type|goal|task):.+)$'),
  cap_usd numeric(14, 6) NOT NULL CHECK (cap_usd >= 0),
  spent_usd numeric(14, 6) NOT NULL DEFAULT 0 CHECK (spent_usd >= 0),
  reserved_usd numeric(14, 6) NOT NULL DEFAULT 0 CHECK (reserved_usd >= 0),
  period_start date,
  CONSTRAINT never_overdrawn CHECK (spent_usd + reserved_usd <= cap_usd)
);
INSERT INTO public.budgets (scope, cap_usd, period_start)
  VALUES ('day', 20, (clock_timestamp() AT TIME ZONE 'UTC')::date); -- set_budget('day', ...) changes it

CREATE TABLE juggernaut.model_calls (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  fence bigint NOT NULL,
  goal_id uuid,
  model text NOT NULL,
  purpose text NOT NULL,
  digest text NOT NULL,
  scopes text[] NOT NULL,
  reserved_usd numeric(14, 6) NOT NULL CHECK (reserved_usd >= 0),
  state text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'settled', 'written_off')),
  cost_usd numeric(14, 6) CHECK (cost_usd >= 0),
  facts jsonb NOT NULL DEFAULT '{}',
  login text NOT NULL,
  reserved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  settled_at timestamptz,
  CHECK ((state = 'reserved') = (cost_usd IS NULL))
);
CREATE INDEX model_calls_open ON juggernaut.model_calls (reserved_at) WHERE state = 'reserved';
CREATE INDEX model_calls_task ON juggernaut.model_calls (task_id);

CREATE TABLE public.learnings (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  worker_id text NOT NULL,
  category text NOT NULL CHECK (length(category) BETWEEN 1 AND 60),
  title text NOT NULL CHECK (length(btrim(title)) BETWEEN 1 AND 300),
  description text NOT NULL CHECK (length(btrim(description)) BETWEEN 1 AND 8000),
  impact_score numeric(4, 3) NOT NULL CHECK (impact_score BETWEEN 0 AND 1),
  tags jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(tags) = 'array'),
  source text NOT NULL DEFAULT 'worker',
  scope text,
  applied_count integer NOT NULL DEFAULT 0,
  effect jsonb,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX learnings_text ON public.learnings USING gin (to_tsvector('english', title || ' ' || description));

CREATE TABLE public.alerts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL,
  subject text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
  title text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
  times integer NOT NULL DEFAULT 1,
  resolved_at timestamptz
);
CREATE UNIQUE INDEX alerts_open ON public.alerts (kind, subject) WHERE resolved_at IS NULL;

CREATE TABLE public.schedules (
  name text PRIMARY KEY CHECK (length(btrim(name)) BETWEEN 1 AND 100),
  cron text NOT NULL,
  time_zone text NOT NULL DEFAULT 'UTC',
  title text NOT NULL,
  description text NOT NULL DEFAULT '',
  task_type text NOT NULL REFERENCES juggernaut.task_types,
  priority text NOT NULL DEFAULT 'low' REFERENCES juggernaut.priorities,
  payload jsonb NOT NULL DEFAULT '{}',
  repo text,
  enabled boolean NOT NULL DEFAULT true,
  next_run_at timestamptz,
  last_run_at timestamptz,
  disabled_reason text,
  created_by text NOT NULL DEFAULT session_user
);

CREATE TABLE public.controls (
  scope text PRIMARY KEY CHECK (scope ~ '^(all|(role|type|worker|goal):.+)$'),
  reason text NOT NULL CHECK (length(btrim(reason)) > 0),
  paused_by text NOT NULL DEFAULT session_user,
  paused_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE public.reports (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  fence bigint NOT NULL,
  title text NOT NULL,
  body text NOT NULL CHECK (length(body) <= 200000),
  facts jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (task_id, fence)
);

CREATE TABLE public.recommendations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  fence bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('priority', 'allocation', 'risk', 'goal')),
  title text NOT NULL CHECK (length(btrim(title)) BETWEEN 1 AND 300),
  rationale text NOT NULL CHECK (length(btrim(rationale)) BETWEEN 1 AND 8000),
  facts jsonb NOT NULL DEFAULT '{}',
  status text NOT NULL DEFAULT 'proposed' CHECK (status IN ('proposed', 'accepted', 'declined')),
  decided_by text,
  decided_at timestamptz,
  decision_note text,
  goal_id uuid REFERENCES public.goals,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (task_id, fence, title),
  CHECK ((status = 'proposed') = (decided_by IS NULL))
);

CREATE TABLE public.execution_logs (
  id bigint GENERATED ALWAYS AS IDENTITY,
  task_id uuid,
  worker_id text,
  action text NOT NULL CHECK (length(action) BETWEEN 1 AND 100),
  level text NOT NULL DEFAULT 'info' CHECK (level IN ('debug', 'info', 'warning', 'error', 'critical')),
  message text NOT NULL CHECK (length(message) <= 16384),
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(metadata) <= 65536),
  error_data jsonb CHECK (pg_column_size(error_data) <= 65536),
  fence bigint,
  login text NOT NULL DEFAULT session_user,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX logs_task ON public.execution_logs (task_id, created_at);
CREATE INDEX logs_level ON public.execution_logs (created_at) WHERE level IN ('error', 'critical');
CREATE TABLE public.execution_logs_other PARTITION OF public.execution_logs DEFAULT;

-- Partitions of this month and the next, and retention. A row that no month takes goes to the
-- default partition, so a late maintenance loses nothing.
CREATE FUNCTION juggernaut.keep_log_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  month_start date;
  part record;
  changed integer := 0;
BEGIN
  IF NOT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('juggernaut.log_partitions', 0)) THEN
    RETURN 0;
  END IF;
  FOR month_start IN
    SELECT (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + make_interval(months => n))::date
      FROM generate_series(0, 1) AS n
  LOOP
    IF to_regclass(format('public.execution_logs_%s', to_char(month_start, 'YYYYMM'))) IS NULL
       AND NOT EXISTS (SELECT FROM public.execution_logs_other
                        WHERE created_at >= month_start::timestamp AT TIME ZONE 'UTC') THEN
      EXECUTE format('CREATE TABLE public.execution_logs_%s PARTITION OF public.execution_logs FOR VALUES FROM (%L) TO (%L)',
                     to_char(month_start, 'YYYYMM'),
                     (month_start::timestamp AT TIME ZONE 'UTC'),
                     ((month_start + interval '1 month') AT TIME ZONE 'UTC'));
      changed := changed + 1;
    END IF;
  END LOOP;
  FOR part IN
    SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'public.execution_logs'::regclass AND c.relname ~ '^execution_logs_[0-9]{6}$'
       AND to_date(right(c.relname, 6), 'YYYYMM')
           < (date_trunc('month', clock_timestamp()) - make_interval(months => juggernaut.threshold('log_months')::int))::date
  LOOP
    EXECUTE format('DROP TABLE public.%I', part.relname);
    changed := changed + 1;
  END LOOP;
  RETURN changed;
END
$$;
SELECT juggernaut.keep_log_partitions();

-- What happened, who did it, before and after: chained by hash in batches (seal_audit), so that
-- the chain never stands in the way of a claim.
CREATE TABLE juggernaut.events (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  login text NOT NULL,
  application text NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  before jsonb,
  after jsonb
);
CREATE INDEX events_order ON juggernaut.events (xid, seq);
-- A seal covers the events of all transactions after the seal before it, up to last_xid; only
-- transactions that have ended are sealed, so a late commit can never slip under a seal.
CREATE TABLE juggernaut.seals (
  last_xid xid8 PRIMARY KEY,
  rows_sealed integer NOT NULL,
  digest bytea NOT NULL,
  sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
