-- Roles, schemas and the small tables of numbers that everything else refers to.
-- Needs a login that may create roles (a superuser, or CREATEROLE and owner of the database).

DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['juggernaut_owner', 'juggernaut_worker', 'juggernaut_approver', 'juggernaut_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r) THEN
      BEGIN
        EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another migration of the same server made it in this moment
      END;
    END IF;
  END LOOP;
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    GRANT juggernaut_owner TO CURRENT_USER;
  END IF;
  EXECUTE pg_catalog.format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', pg_catalog.current_database());
END
$$;

GRANT USAGE, CREATE ON SCHEMA public, juggernaut TO juggernaut_owner;
GRANT USAGE ON SCHEMA public, juggernaut TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
GRANT SELECT ON juggernaut.migrations TO juggernaut_worker, juggernaut_approver, juggernaut_reader;

SET LOCAL ROLE juggernaut_owner;
-- New functions are executable by everybody unless this is said; each grant is explicit instead.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Who acts: the login, or the role that a shared login dropped to on connect. Inside a function
-- with the owner's rights current_user is the owner, so it is never asked.
CREATE FUNCTION juggernaut.acting() RETURNS text
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT CASE WHEN coalesce(pg_catalog.current_setting('role', true), 'none') IN ('none', '')
              THEN session_user::text ELSE pg_catalog.current_setting('role', true) END
$$;

CREATE FUNCTION juggernaut.acting_kind() RETURNS text
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT CASE WHEN pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_owner', 'MEMBER') THEN 'operator'
              WHEN pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_worker', 'MEMBER') THEN 'worker'
              WHEN pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_approver', 'MEMBER') THEN 'approver'
              ELSE 'reader' END
$$;

CREATE FUNCTION juggernaut.refuse(code text, message text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  -- JG001 the law, JG002 the purse, JG003 the lease.
  RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, HINT = coalesce(hint, '');
END
$$;

CREATE TABLE juggernaut.thresholds (
  name text PRIMARY KEY,
  value numeric NOT NULL CHECK (value >= 0),
  unit text NOT NULL,
  meaning text NOT NULL
);
INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('heartbeat_seconds', 15, 'seconds', 'a worker beats this often'),
  ('session_seconds', 60, 'seconds', 'a session without a beat for so long is dead, and its leases with it'),
  ('raw_session_seconds', 300, 'seconds', 'the same for workers that use plain SQL and beat every 60 s'),
  ('stale_seconds', 300, 'seconds', 'a worker without a beat for so long is shown as stale'),
  ('stuck_seconds', 7200, 'seconds', 'a task in progress for so long raises an alert'),
  ('poll_seconds', 5, 'seconds', 'an idle worker looks for work this often, with jitter'),
  ('sweep_seconds', 10, 'seconds', 'expired leases are taken back this often'),
  ('detect_seconds', 30, 'seconds', 'alerts are looked for this often'),
  ('goals_seconds', 2, 'seconds', 'goals are followed this often'),
  ('schedules_seconds', 30, 'seconds', 'schedules are looked at this often'),
  ('approval_seconds', 172800, 'seconds', 'an approval that waits for so long is escalated; it never becomes a permission'),
  ('timeout_grace_seconds', 60, 'seconds', 'a lease outlives the timeout of its task by this'),
  ('write_off_seconds', 900, 'seconds', 'a reserved model call of an ended attempt is written off at full price after this'),
  ('failure_window_seconds', 3600, 'seconds', 'the window of the failure-rate and repeated-error alerts'),
  ('failure_rate', 0.5, 'share', 'an alert is raised above this share of failed attempts'),
  ('failure_least', 5, 'attempts', 'fewer attempts than this in the window raise no failure-rate alert'),
  ('repeated_errors', 5, 'times', 'an error seen this often in the window raises an alert'),
  ('proposal_tasks', 25, 'tasks', 'a plan has at most so many tasks'),
  ('goal_tasks', 60, 'tasks', 'a goal has at most so many tasks'),
  ('task_depth', 4, 'levels', 'tasks create tasks at most so deep'),
  ('goal_replans', 1, 'plans', 'a goal is planned again at most so often'),
  ('dedupe_seconds', 604800, 'seconds', 'a finished task still blocks its dedupe key for so long'),
  ('log_months', 6, 'months', 'execution_logs are kept for so long');

CREATE FUNCTION juggernaut.threshold(p_name text) RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT value FROM juggernaut.thresholds WHERE name = p_name $$;

CREATE FUNCTION juggernaut.seconds(p_name text) RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT pg_catalog.make_interval(secs => value::float8) FROM juggernaut.thresholds WHERE name = p_name $$;

-- The claim key of a task is the time when it became ready plus this weight: a task is never
-- overtaken by one that became ready more than the weight later, so nothing starves.
CREATE TABLE juggernaut.priorities (
  priority text PRIMARY KEY,
  rank smallint NOT NULL UNIQUE,
  weight_seconds integer NOT NULL CHECK (weight_seconds >= 0)
);
INSERT INTO juggernaut.priorities VALUES
  ('critical', 1, 0), ('high', 2, 300), ('medium', 3, 1800), ('low', 4, 7200);

CREATE TABLE juggernaut.risks (
  risk_level text PRIMARY KEY,
  rank smallint NOT NULL UNIQUE,
  approvers smallint NOT NULL CHECK (approvers >= 0)
);
COMMENT ON COLUMN juggernaut.risks.approvers IS 'so many different people must approve';
INSERT INTO juggernaut.risks VALUES ('low', 1, 0), ('medium', 2, 0), ('high', 3, 1), ('critical', 4, 2);

CREATE FUNCTION juggernaut.higher_risk(a text, b text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT risk_level FROM juggernaut.risks WHERE risk_level IN (a, b) ORDER BY rank DESC LIMIT 1 $$;

CREATE TABLE juggernaut.task_types (
  task_type text PRIMARY KEY CHECK (task_type ~ '^[a-z][a-z0-9_]{0,40}$'),
  risk_floor text NOT NULL REFERENCES juggernaut.risks,
  required_facts text[] NOT NULL,
  meaning text NOT NULL
);
INSERT INTO juggernaut.task_types VALUES
  ('planning', 'low', '{task_ids}', 'turn a goal into tasks'),
  ('code', 'medium', '{pull_number,pull_url,head_sha,base_sha,merged_sha,files,tests}', 'change code, open a pull request, merge it'),
  ('test', 'low', '{command,exit_code,passed,failed,sha}', 'run a test suite'),
  ('verification', 'low', '{checks,sha}', 'run named checks'),
  ('documentation', 'low', '{location,merged_sha}', 'write documentation and merge it'),
  ('command', 'medium', '{command,exit_code,output_digest}', 'run a command on a checkout'),
  ('research', 'low', '{sources,report_id}', 'gather sources and summarise them'),
  ('report', 'low', '{report_id,metrics_digest}', 'report on the swarm'),
  ('strategy', 'low', '{recommendation_ids,metrics_digest}', 'recommend what to do next');

CREATE TABLE juggernaut.transitions (
  old_status text NOT NULL,
  new_status text NOT NULL,
  PRIMARY KEY (old_status, new_status)
);
INSERT INTO juggernaut.transitions VALUES
  ('waiting', 'pending'), ('waiting', 'blocked'),
  ('pending', 'waiting'), ('pending', 'in_progress'), ('pending', 'waiting_approval'),
  ('pending', 'blocked'), ('pending', 'failed'),
  ('in_progress', 'pending'), ('in_progress', 'waiting_approval'), ('in_progress', 'awaiting_merge'),
  ('in_progress', 'blocked'), ('in_progress', 'completed'), ('in_progress', 'failed'),
  ('waiting_approval', 'pending'), ('waiting_approval', 'rejected'),
  ('awaiting_merge', 'in_progress'), ('awaiting_merge', 'pending'),
  ('awaiting_merge', 'completed'), ('awaiting_merge', 'failed'),
  ('blocked', 'pending'), ('blocked', 'waiting'), ('blocked', 'failed'),
  ('failed', 'pending'),
  ('waiting', 'cancelled'), ('pending', 'cancelled'), ('waiting_approval', 'cancelled'),
  ('in_progress', 'cancelled'), ('awaiting_merge', 'cancelled'), ('blocked', 'cancelled');

-- What a role may do: written by an operator only (grant_capability), never by registration.
CREATE TABLE juggernaut.grants (
  worker_type text NOT NULL CHECK (worker_type ~ '^[a-z][a-z0-9_]{0,40}$'),
  task_type text NOT NULL REFERENCES juggernaut.task_types,
  granted_by text NOT NULL DEFAULT session_user,
  granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (worker_type, task_type)
);
INSERT INTO juggernaut.grants (worker_type, task_type) VALUES
  ('orchestrator', 'planning'),
  ('executor', 'code'), ('executor', 'test'), ('executor', 'verification'),
  ('executor', 'documentation'), ('executor', 'command'),
  ('analyst', 'research'), ('analyst', 'report'),
  ('strategist', 'strategy');
