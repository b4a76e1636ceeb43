-- Powers: what a hostile login could still do, closed one by one. Each section says the attack.
INSERT INTO juggernaut.thresholds (name, value, unit, meaning) VALUES
  ('shared_login_critical', 0, 'switch', '1 lets the login that runs the workers approve critical tasks, too'),
  ('transaction_seconds', 120, 'seconds', 'a transaction of a worker login that is older is ended by the sweep'),
  ('insert_rows', 1000, 'rows', 'a worker writes at most so many logs, learnings or workers with one statement');

-- Built-in functions that every login may call, and that reach beyond its own work: large objects
-- fill the disk, advisory locks stand in the way of others, a backend of the same login can be
-- shot. Only a superuser can take them back; on a managed host they stay, and none of them carries
-- authority. The sweep ends transactions that hold locks for ever: it needs two rights for that.
DO $$
DECLARE
  f regprocedure;
BEGIN
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    RAISE NOTICE 'no superuser: large objects, advisory locks and pg_terminate_backend stay open to all logins, and the sweep cannot end old transactions';
    RETURN;
  END IF;
  FOR f IN
    SELECT p.oid FROM pg_catalog.pg_proc p
     WHERE p.pronamespace = 'pg_catalog'::regnamespace
       AND (p.proname ~ '^(lo_|pg_(try_)?advisory_(xact_)?lock)' OR p.proname IN ('loread', 'lowrite', 'pg_terminate_backend', 'pg_cancel_backend', 'pg_logical_emit_message'))
  LOOP
    EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO juggernaut_owner', f);
  END LOOP;
  GRANT pg_signal_backend, pg_read_all_stats TO juggernaut_owner;
END
$$;
-- Databases that came from a server before 15 let everybody create in public.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) x
              WHERE n.nspname = 'public' AND x.grantee = 0 AND x.privilege_type = 'CREATE') THEN
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  END IF;
END
$$;

SET LOCAL ROLE juggernaut_owner;

-- SET ROLE to the group must not make a second person (or another worker) of one login. Only an
-- operator's session drops to a role: that is shared mode.
CREATE OR REPLACE FUNCTION juggernaut.acting() RETURNS text
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT CASE WHEN coalesce(pg_catalog.current_setting('role', true), 'none') IN ('none', '') THEN session_user::text
              WHEN pg_catalog.pg_has_role(session_user, 'juggernaut_owner', 'MEMBER') THEN pg_catalog.current_setting('role', true)
              ELSE session_user::text END
$$;

-- A duty is a row that no run-time login can lock. An advisory lock could be held by anybody.
CREATE TABLE juggernaut.duties (name text PRIMARY KEY);
INSERT INTO juggernaut.duties VALUES ('sweep'), ('detect'), ('goals'), ('seal'), ('log_partitions');
CREATE OR REPLACE FUNCTION juggernaut.alone(p_duty text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM juggernaut.duties WHERE name = p_duty) THEN
    INSERT INTO juggernaut.duties VALUES (p_duty) ON CONFLICT DO NOTHING;
  END IF;
  PERFORM FROM juggernaut.duties WHERE name = p_duty FOR UPDATE SKIP LOCKED;
  RETURN FOUND;
END
$$;

-- A login may raise its own timeouts, so another one ends what it holds for too long.
CREATE FUNCTION juggernaut.end_old_transactions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  old record;
  n integer := 0;
BEGIN
  FOR old IN
    SELECT a.pid, a.usename, a.xact_start FROM pg_catalog.pg_stat_activity a
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
       AND a.xact_start < clock_timestamp() - juggernaut.seconds('transaction_seconds')
       AND pg_has_role(a.usesysid, 'juggernaut_worker', 'MEMBER') AND NOT pg_has_role(a.usesysid, 'juggernaut_owner', 'MEMBER')
  LOOP
    IF pg_terminate_backend(old.pid) THEN
      PERFORM juggernaut.record_event('transaction.ended', old.usename, NULL, jsonb_build_object('since', old.xact_start));
      n := n + 1;
    END IF;
  END LOOP;
  RETURN n;
EXCEPTION WHEN insufficient_privilege THEN
  RETURN n; -- a managed host: the migration said so
END
$$;

-- The housekeeping of every sweep: partitions of this month and the next, retention, old transactions.
CREATE OR REPLACE FUNCTION juggernaut.keep_log_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  month_start date;
  part record;
  changed integer := 0;
BEGIN
  IF NOT juggernaut.alone('log_partitions') THEN
    RETURN 0;
  END IF;
  PERFORM juggernaut.end_old_transactions();
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

-- A worker says of itself what kind it is. An operator can pin the kinds of a login.
CREATE TABLE juggernaut.login_types (
  login text NOT NULL,
  worker_type text NOT NULL,
  PRIMARY KEY (login, worker_type)
);
COMMENT ON TABLE juggernaut.login_types IS 'a login with rows here works as these kinds only; without rows, as any kind';
CREATE FUNCTION public.limit_login(login text, worker_types text[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  n integer;
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not limit a login: an operator does that', juggernaut.acting()));
  END IF;
  DELETE FROM juggernaut.login_types y WHERE y.login = limit_login.login;
  INSERT INTO juggernaut.login_types SELECT limit_login.login, k FROM unnest(limit_login.worker_types) k ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS n = ROW_COUNT;
  PERFORM juggernaut.record_event('login.limited', limit_login.login, NULL, to_jsonb(limit_login.worker_types));
  RETURN n;
END
$$;
CREATE FUNCTION juggernaut.guard_session() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM juggernaut.login_types y WHERE y.login = NEW.login)
     AND NOT EXISTS (SELECT FROM juggernaut.login_types y WHERE y.login = NEW.login AND y.worker_type = NEW.worker_type) THEN
    PERFORM juggernaut.refuse('JG001', format('login %s may not work as %L', NEW.login, NEW.worker_type),
                              'an operator may: SELECT limit_login(login, kinds)');
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_session BEFORE INSERT ON juggernaut.sessions FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_session();
ALTER TABLE juggernaut.sessions ENABLE ALWAYS TRIGGER guard_session;

-- Approvals. Whoever asks (again) is written down by login and by session; every asking starts
-- with no decisions; the bytes behind a digest never change; an approval does not last for ever.
ALTER TABLE public.approvals ADD COLUMN requested_session text;
ALTER TABLE juggernaut.decisions RENAME TO decision_log;
ALTER TABLE juggernaut.decision_log ADD COLUMN asked_at timestamptz;
ALTER TABLE juggernaut.decision_log DISABLE TRIGGER append_only;
UPDATE juggernaut.decision_log d SET asked_at = a.requested_at FROM public.approvals a WHERE a.id = d.approval_id;
ALTER TABLE juggernaut.decision_log ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE juggernaut.decision_log ALTER COLUMN asked_at SET NOT NULL, DROP CONSTRAINT decisions_pkey,
  ADD CONSTRAINT decision_log_pkey PRIMARY KEY (approval_id, asked_at, decided_by, decision);
CREATE VIEW juggernaut.decisions AS
  SELECT d.approval_id, d.decided_by, d.decision, d.note, d.decided_at
    FROM juggernaut.decision_log d JOIN public.approvals a ON a.id = d.approval_id AND a.requested_at = d.asked_at;
COMMENT ON VIEW juggernaut.decisions IS 'what people said since an approval was asked for the last time';

-- Text from outside, so that a terminal shows it and does not obey it: control, bidi, invisible
-- and tag characters, and the line breaks that only some programs see.
CREATE OR REPLACE FUNCTION juggernaut.shown(p text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = juggernaut, pg_temp
AS $$ SELECT regexp_replace(p, U&'[\0001-\0008\000B-\001F\007F-\009F\00AD\034F\061C\115F\1160\17B4\17B5\180B-\180F\200B-\200F\2028-\202E\2060-\206F\3164\FE00-\FE0F\FEFF\FFA0\FFF9-\FFFB\+0E0000-\+0E01EF]', U&'\FFFD', 'g') $$;

CREATE FUNCTION juggernaut.guard_approval() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF (NEW.task_id, NEW.gate, NEW.digest, NEW.body) IS DISTINCT FROM (OLD.task_id, OLD.gate, OLD.digest, OLD.body) THEN
      PERFORM juggernaut.refuse('JG001', 'the bytes of an approval never change', 'ask for another one');
    END IF;
    IF NEW.status <> 'pending' OR OLD.status = 'pending' THEN
      RETURN NEW;
    END IF;
  END IF;
  NEW.requested_by := juggernaut.acting();
  NEW.requested_session := session_user;
  NEW.requested_at := clock_timestamp();
  NEW.decided_at := NULL;
  NEW.escalated_at := NULL;
  NEW.reason := left(NEW.reason, 2000);
  NEW.factors := ARRAY(SELECT left(juggernaut.shown(f.line), 300) FROM unnest(NEW.factors) WITH ORDINALITY AS f (line, n) ORDER BY f.n LIMIT 60);
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_approval BEFORE INSERT OR UPDATE ON public.approvals FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_approval();
ALTER TABLE public.approvals ENABLE ALWAYS TRIGGER guard_approval;

-- A gate records its plan before it looks for an approval: here a digest is tied to its bytes, and
-- an approval that is older than a decision may wait is void, so that people are asked again.
CREATE FUNCTION juggernaut.guard_plan() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM public.approvals a WHERE a.task_id = NEW.task_id AND a.gate = NEW.gate AND a.digest = NEW.digest AND a.body <> NEW.body) THEN
    PERFORM juggernaut.refuse('JG001', format('digest %s of task %s stands for other bytes', left(NEW.digest, 12), NEW.task_id),
                              'a digest is the sha256 of the plan that is shown');
  END IF;
  UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp()
   WHERE task_id = NEW.task_id AND gate = NEW.gate AND status = 'approved' AND decided_at < clock_timestamp() - juggernaut.seconds('approval_seconds');
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_plan BEFORE INSERT ON juggernaut.plans FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_plan();
ALTER TABLE juggernaut.plans ENABLE ALWAYS TRIGGER guard_plan;

-- Who changed what is asked for is a proposer, too. (send_back adds feedback; that is no edit.)
CREATE TABLE juggernaut.editors (
  task_id uuid NOT NULL REFERENCES public.governance_tasks,
  login text NOT NULL,
  edited_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (task_id, login)
);
CREATE FUNCTION juggernaut.after_edit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  INSERT INTO juggernaut.editors (task_id, login) VALUES (NEW.id, session_user) ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER follow_edit AFTER UPDATE OF title, description, task_type, acceptance_criteria, payload, repo ON public.governance_tasks FOR EACH ROW
  WHEN ((OLD.title, OLD.description, OLD.task_type, OLD.acceptance_criteria, OLD.payload - 'feedback', OLD.repo)
        IS DISTINCT FROM (NEW.title, NEW.description, NEW.task_type, NEW.acceptance_criteria, NEW.payload - 'feedback', NEW.repo))
  EXECUTE FUNCTION juggernaut.after_edit();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER follow_edit;

CREATE FUNCTION juggernaut.approvers_of(t public.governance_tasks) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$ SELECT greatest(r.approvers, CASE WHEN t.requires_approval THEN 1 ELSE 0 END) FROM juggernaut.risks r WHERE r.risk_level = t.risk_level $$;

-- One decision of one person about the bytes behind the digest of the open request. A person is
-- the login of the session, whatever role it took on; callers hold the lock of the task's row.
CREATE OR REPLACE FUNCTION juggernaut.decide(p_task uuid, p_decision text, p_note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  a public.approvals;
  t public.governance_tasks;
  who text := session_user;
  have integer;
BEGIN
  IF juggernaut.acting_kind() NOT IN ('approver', 'operator') THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not decide: only a login of juggernaut_approver may', who),
                              'juggernaut login create approver NAME');
  END IF;
  SELECT * INTO t FROM public.governance_tasks WHERE id = p_task;
  SELECT * INTO a FROM public.approvals WHERE task_id = p_task AND status = 'pending' FOR UPDATE;
  IF a.id IS NULL THEN
    PERFORM juggernaut.refuse('JG001', format('task %s has no open approval request', p_task));
  END IF;
  a.need := greatest(a.need, juggernaut.approvers_of(t));
  IF p_decision = 'approved' THEN
    IF t.created_by IN (who, juggernaut.acting()) OR a.requested_by IN (who, juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%s proposed task %s and cannot approve it', who, p_task),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF EXISTS (SELECT FROM juggernaut.editors e WHERE e.task_id = p_task AND e.login = who) THEN
      PERFORM juggernaut.refuse('JG001', format('%s changed task %s and cannot approve it', who, p_task),
                                'another login of juggernaut_approver has to decide');
    END IF;
    IF a.requested_session = who AND 'critical' IN (a.risk_level, t.risk_level) AND juggernaut.threshold('shared_login_critical') IS DISTINCT FROM 1 THEN
      PERFORM juggernaut.refuse('JG001', format('SHARED LOGIN: task %s is critical, and %s runs the worker that asks', p_task, who),
        'give workers a login of their own (juggernaut login create worker NAME), or set threshold shared_login_critical to 1');
    END IF;
  END IF;
  INSERT INTO juggernaut.decision_log (approval_id, asked_at, decided_by, decision, note)
    VALUES (a.id, a.requested_at, who, p_decision, left(coalesce(p_note, ''), 4000)) ON CONFLICT DO NOTHING;
  PERFORM juggernaut.record_event('approval.' || p_decision, p_task::text, NULL,
    jsonb_build_object('gate', a.gate, 'digest', a.digest, 'note', left(coalesce(p_note, ''), 4000)));
  IF p_decision = 'rejected' THEN
    UPDATE public.approvals SET status = 'rejected', decided_at = clock_timestamp() WHERE id = a.id;
    RETURN 'rejected';
  END IF;
  SELECT count(DISTINCT d.decided_by) INTO have FROM juggernaut.decision_log d
   WHERE d.approval_id = a.id AND d.asked_at = a.requested_at AND d.decision = 'approved';
  UPDATE public.approvals SET need = a.need, status = CASE WHEN have < a.need THEN 'pending' ELSE 'approved' END,
         decided_at = CASE WHEN have < a.need THEN NULL ELSE clock_timestamp() END WHERE id = a.id;
  RETURN CASE WHEN have < a.need THEN 'more' ELSE 'approved' END;
END
$$;

-- The task is locked before its approval, here as in a plain UPDATE: no two ways to deadlock.
CREATE OR REPLACE FUNCTION public.approve_task(id uuid, note text DEFAULT 'approved', digest text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_open text;
BEGIN
  PERFORM juggernaut.known_task(approve_task.id);
  PERFORM FROM public.governance_tasks t WHERE t.id = approve_task.id FOR NO KEY UPDATE;
  SELECT a.digest INTO v_open FROM public.approvals a WHERE a.task_id = approve_task.id AND a.status = 'pending';
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

-- Accepting is a decision, too: with a reason, on an open task, by neither its creator nor its editor.
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
  UPDATE public.governance_tasks x SET status = 'pending' WHERE x.id = accept_criterion.task_id AND x.status = 'blocked';
  RETURN 'accepted';
END
$$;

-- Columns that tell of a decision are written by the decision alone; what is final stays as it is.
CREATE FUNCTION juggernaut.guard_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF NEW.approved_by IS DISTINCT FROM OLD.approved_by AND NEW.approved_by IS NOT NULL THEN
    IF OLD.status = 'waiting_approval' AND NEW.status = 'waiting_approval' THEN
      NEW.approved_by := OLD.approved_by; -- one more person has to approve
    ELSIF NOT (OLD.status = 'waiting_approval' AND NEW.status IN ('pending', 'rejected') AND NEW.approved_by = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('task %s is %s: it does not wait for an approval', OLD.id, OLD.status), 'SELECT * FROM pending_approvals');
    END IF;
  END IF;
  IF OLD.status = NEW.status AND OLD.status IN ('completed', 'rejected', 'cancelled') THEN
    IF (NEW.error_message, NEW.completion_evidence, NEW.result, NEW.completed_at) IS DISTINCT FROM (OLD.error_message, OLD.completion_evidence, OLD.result, OLD.completed_at) THEN
      PERFORM juggernaut.refuse('JG001', format('task %s is %s, and that is final', OLD.id, OLD.status));
    END IF;
  END IF;
  IF juggernaut.acting_kind() = 'worker' THEN
    IF OLD.requires_approval AND NOT NEW.requires_approval THEN
      PERFORM juggernaut.refuse('JG001', format('task %s needs an approval, and no worker takes that away', OLD.id));
    END IF;
    IF OLD.status = 'in_progress' AND NEW.status = OLD.status AND NEW.fence = OLD.fence THEN
      IF NEW.assigned_worker IS DISTINCT FROM OLD.assigned_worker THEN
        PERFORM juggernaut.refuse('JG001', format('task %s is held by %s and cannot be handed on', OLD.id, OLD.assigned_worker));
      END IF;
      NEW.started_at := OLD.started_at;
    END IF;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_words BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN ((NEW.approved_by IS DISTINCT FROM OLD.approved_by AND NEW.approved_by IS NOT NULL)
        OR (OLD.requires_approval AND NOT NEW.requires_approval)
        OR (OLD.status = NEW.status AND OLD.status IN ('in_progress', 'completed', 'rejected', 'cancelled')
            AND (OLD.error_message, OLD.completion_evidence, OLD.result, OLD.completed_at, OLD.assigned_worker, OLD.started_at)
                IS DISTINCT FROM (NEW.error_message, NEW.completion_evidence, NEW.result, NEW.completed_at, NEW.assigned_worker, NEW.started_at)))
  EXECUTE FUNCTION juggernaut.guard_words();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_words;

-- The last line: risky work is not completed, and not merged, when nobody approved it, even if the
-- worker never came to the gate.
CREATE FUNCTION juggernaut.approved(t public.governance_tasks, p_gate text, p_digest text DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.gate = p_gate AND a.status = 'approved'
                    AND a.need >= juggernaut.approvers_of(t) AND a.digest = coalesce(p_digest, a.digest))
$$;
CREATE FUNCTION juggernaut.guard_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.approvers_of(NEW) > 0 AND NOT juggernaut.approved(NEW, 'plan') AND NOT juggernaut.approved(NEW, 'diff') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) cannot be completed: neither plan nor diff was approved', NEW.id, NEW.risk_level),
                              'pass the plan gate first');
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_words_end BEFORE UPDATE ON public.governance_tasks FOR EACH ROW
  WHEN (NEW.status = 'completed' AND OLD.status <> 'completed' AND (NEW.requires_approval OR NEW.risk_level NOT IN ('low', 'medium')))
  EXECUTE FUNCTION juggernaut.guard_end();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_words_end;

CREATE FUNCTION juggernaut.guard_effect() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  t public.governance_tasks;
  v_diff juggernaut.plans;
BEGIN
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = NEW.task_id;
  SELECT * INTO v_diff FROM juggernaut.plans p WHERE p.task_id = t.id AND p.fence = NEW.fence AND p.gate = 'diff';
  -- A diff may be riskier than its plan was: then its own approval is the one that counts.
  IF juggernaut.approvers_of(t) > 0 AND NOT juggernaut.approved(t, 'plan') AND (v_diff.digest IS NULL OR NOT juggernaut.approved(t, 'diff', v_diff.digest)) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) cannot merge: its plan was not approved', t.id, t.risk_level));
  END IF;
  IF (t.risk_level = 'critical' OR v_diff.risk_level IN ('high', 'critical'))
     AND (v_diff.digest IS NULL OR NOT juggernaut.approved(t, 'diff', v_diff.digest)
          OR v_diff.body ->> 'head' IS DISTINCT FROM NEW.request ->> 'expected') THEN
    PERFORM juggernaut.refuse('JG001', format('task %s cannot merge %s: this diff was not approved', t.id, left(NEW.request ->> 'expected', 64)),
                              'pass the diff gate with the head that is merged');
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_effect BEFORE INSERT ON juggernaut.effects FOR EACH ROW WHEN (NEW.kind = 'merge') EXECUTE FUNCTION juggernaut.guard_effect();
ALTER TABLE juggernaut.effects ENABLE ALWAYS TRIGGER guard_effect;

-- What a plain-SQL worker asks for: the bytes of the row itself, so that a change of any of them
-- is a change of the digest.
CREATE FUNCTION juggernaut.raw_body(t public.governance_tasks) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT jsonb_build_object('task_id', t.id, 'title', t.title, 'description', t.description, 'task_type', t.task_type,
                            'payload', t.payload, 'acceptance_criteria', t.acceptance_criteria, 'repo', t.repo)
$$;
CREATE FUNCTION juggernaut.raw_ask(t public.governance_tasks, p_reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  v_reason text := left(coalesce(nullif(btrim(p_reason), ''), 'asked for by ' || juggernaut.acting()), 2000);
  bytes jsonb := juggernaut.raw_body(t) || jsonb_build_object('reason', v_reason);
BEGIN
  UPDATE public.approvals SET status = 'void', decided_at = clock_timestamp() WHERE task_id = t.id AND status IN ('pending', 'approved') AND gate = 'plan';
  INSERT INTO public.approvals AS a (task_id, gate, digest, body, risk_level, reason, need, requested_by)
    SELECT t.id, 'plan', encode(sha256(convert_to(bytes::text, 'UTF8')), 'hex'), bytes, t.risk_level, v_reason, greatest(r.approvers, 1), juggernaut.acting()
      FROM juggernaut.risks r WHERE r.risk_level = t.risk_level
    ON CONFLICT (task_id, gate, digest) DO UPDATE SET status = 'pending', need = excluded.need, risk_level = excluded.risk_level;
END
$$;

-- The worker of this login that may work on a task: registered, granted, not paused, assigned.
CREATE FUNCTION juggernaut.raw_worker(t public.governance_tasks, p_worker text) RETURNS public.worker_registry
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  w public.worker_registry;
BEGIN
  SELECT * INTO w FROM public.worker_registry WHERE worker_id = p_worker;
  IF w.worker_id IS NULL OR w.login <> juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG001', format('%L is not a worker that %s registered', p_worker, juggernaut.acting()),
                              'insert the worker into worker_registry first');
  END IF;
  IF NOT EXISTS (SELECT FROM juggernaut.grants g WHERE g.worker_type = w.worker_type AND g.task_type = t.task_type) THEN
    PERFORM juggernaut.refuse('JG001', format('%s is not granted task type %L', w.worker_type, t.task_type),
                              format('an operator may: SELECT grant_capability(%L, %L)', w.worker_type, t.task_type));
  END IF;
  IF t.assignment IS NOT NULL AND t.assignment NOT IN (w.worker_id, w.worker_type) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is assigned to %L', t.id, t.assignment));
  END IF;
  IF juggernaut.paused(w.worker_type, w.worker_id, t.task_type, t.goal_id) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is paused', t.id), 'SELECT * FROM controls');
  END IF;
  RETURN w;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.raw_claim(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  w public.worker_registry;
BEGIN
  IF NOT old.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is not claimable yet: %s', old.id,
      CASE WHEN old.waits > 0 THEN 'it needs other tasks' ELSE 'it is not due' END));
  END IF;
  w := juggernaut.raw_worker(old, new.assigned_worker);
  IF juggernaut.approvers_of(old) > 0 AND NOT EXISTS (
       SELECT FROM public.approvals a WHERE a.task_id = old.id AND a.gate = 'plan' AND a.status = 'approved'
          AND a.need >= juggernaut.approvers_of(old) AND a.body - 'reason' = juggernaut.raw_body(old)
          AND a.digest = encode(sha256(convert_to(a.body::text, 'UTF8')), 'hex')
          AND a.decided_at > clock_timestamp() - juggernaut.seconds('approval_seconds')) THEN
    PERFORM juggernaut.refuse('JG001', format('task %s (risk %s) needs an approval of what it says now', old.id, old.risk_level),
                              format('SELECT request_approval(%L, %L, ''why'')', old.id, w.worker_id));
  END IF;
  UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
   WHERE id = w.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  IF NOT FOUND THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s has no open plain-SQL session', w.worker_id),
                              'register it again in worker_registry');
  END IF;
  new.fence := old.fence + 1;
  new.attempts := old.attempts + 1;
  new.started_at := clock_timestamp();
  new.session_id := w.instance_id;
  new.lease_login := juggernaut.acting();
  new.lease_hash := NULL;
  new.lease_until := clock_timestamp() + make_interval(secs => old.timeout_seconds) + juggernaut.seconds('timeout_grace_seconds');
  new.error_message := NULL;
  new.requires_approval := old.requires_approval;
  INSERT INTO juggernaut.attempts (task_id, fence, session_id, worker_id, login)
    VALUES (new.id, new.fence, new.session_id, w.worker_id, juggernaut.acting());
  RETURN new;
END
$$;

-- A plain-SQL worker cannot claim a risky task before people approved it, so it asks from outside.
CREATE FUNCTION public.request_approval(id uuid, worker_id text, reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  t public.governance_tasks;
BEGIN
  PERFORM juggernaut.known_task(request_approval.id);
  SELECT * INTO t FROM public.governance_tasks g WHERE g.id = request_approval.id FOR NO KEY UPDATE;
  IF t.status <> 'pending' OR NOT t.ready THEN
    PERFORM juggernaut.refuse('JG001', format('task %s is %s: only a task that could be claimed is asked for', t.id, t.status), 'SELECT * FROM why(id)');
  END IF;
  PERFORM juggernaut.raw_worker(t, request_approval.worker_id);
  PERFORM juggernaut.raw_ask(t, request_approval.reason);
  UPDATE public.governance_tasks g SET status = 'waiting_approval', requires_approval = true, fence = g.fence + 1,
         approval_reason = left(request_approval.reason, 2000) WHERE g.id = t.id;
  RETURN 'waiting_approval';
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.raw_finish(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  ended text;
BEGIN
  IF old.lease_hash IS NOT NULL OR old.lease_login <> juggernaut.acting() THEN
    PERFORM juggernaut.refuse('JG003', format('task %s is held by another attempt', old.id));
  END IF;
  IF old.lease_until <= clock_timestamp() OR NOT EXISTS (
       SELECT FROM juggernaut.sessions s WHERE s.id = old.session_id AND s.closed_at IS NULL AND s.expires_at > clock_timestamp()) THEN
    PERFORM juggernaut.refuse('JG003', format('the lease of task %s is over', old.id), 'claim it again');
  END IF;
  IF new.status = 'completed' THEN
    IF new.completion_evidence IS NULL OR length(btrim(new.completion_evidence)) < 40 THEN
      PERFORM juggernaut.refuse('JG001', format('task %s cannot be completed without evidence', old.id),
        format('completion_evidence must state facts for %s: %s', old.task_type,
               (SELECT array_to_string(required_facts, ', ') FROM juggernaut.task_types WHERE task_type = old.task_type)));
    END IF;
    new := juggernaut.self_reported(old, new);
    ended := new.status;
  ELSIF new.status = 'failed' THEN
    IF new.error_message IS NULL OR length(btrim(new.error_message)) = 0 THEN
      PERFORM juggernaut.refuse('JG001', 'failed needs an error_message');
    END IF;
    new.completed_at := clock_timestamp();
    ended := 'failed';
  ELSIF new.status = 'waiting_approval' THEN
    PERFORM juggernaut.raw_ask(old, new.approval_reason);
    new.requires_approval := true;
    new.attempts := old.attempts - 1;
    ended := 'parked';
  ELSE
    new.attempts := old.attempts - 1;
    ended := 'released';
  END IF;
  new.approval_reason := left(new.approval_reason, 2000);
  new.session_id := NULL; new.lease_login := NULL; new.lease_until := NULL;
  new.assigned_worker := CASE WHEN ended IN ('parked', 'released') THEN old.assignment ELSE old.assigned_worker END;
  UPDATE juggernaut.attempts SET ended_at = clock_timestamp(), ended_as = ended, error_message = new.error_message
   WHERE task_id = old.id AND fence = old.fence;
  RETURN new;
END
$$;

-- What a worker says of its work has to have the form of its type, and words instead of filler.
CREATE FUNCTION juggernaut.lacking(p_task uuid, p_type text, said text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF (SELECT count(DISTINCT lower(w[1])) FROM regexp_matches(said, '[[:alnum:]]+', 'g') AS w) < 5 THEN
    RETURN 'facts in at least five different words';
  END IF;
  RETURN CASE
    WHEN p_type = 'code' AND said !~ 'https://[^\s]+/pull/[0-9]+' THEN 'the URL of the merged pull request'
    WHEN p_type = 'documentation' AND said !~ '(https?://|[\w-]+/[\w.-]+|\w+\.\w{2,4})' THEN 'where the document is'
    WHEN p_type = 'test' AND said !~* '[0-9]+[a-z ]{0,20} pass' THEN 'pass and fail counts'
    WHEN p_type = 'research' AND said !~ 'https?://' THEN 'the sources that it rests on'
    WHEN p_type = 'verification' AND said !~* '(pass|fail|ok|met)' THEN 'each check with its result'
    WHEN p_type = 'command' AND said !~* 'exit[a-z]*[ :=_-]*(code|status|with)?[ :=_-]*[0-9]+' THEN 'the command and its exit code'
    WHEN p_type = 'planning' AND NOT EXISTS (SELECT FROM public.governance_tasks c WHERE c.parent_task_id = p_task) THEN 'tasks that it created'
    WHEN p_type = 'report' AND NOT EXISTS (SELECT FROM public.reports r WHERE r.task_id = p_task) THEN 'a report that was saved'
    WHEN p_type = 'strategy' AND NOT EXISTS (SELECT FROM public.recommendations r WHERE r.task_id = p_task) THEN 'recommendations that were saved'
  END;
END
$$;

CREATE OR REPLACE FUNCTION juggernaut.self_reported(old public.governance_tasks, new public.governance_tasks) RETURNS public.governance_tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  said text := new.completion_evidence;
  missing text := juggernaut.lacking(old.id, old.task_type, new.completion_evidence);
BEGIN
  IF missing IS NOT NULL THEN
    PERFORM juggernaut.refuse('JG001', format('evidence for a %s task must name %s', old.task_type, missing));
  END IF;
  INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by)
    VALUES (old.id, old.fence, old.task_type, jsonb_strip_nulls(jsonb_build_object('self_reported', said, 'worker', old.assigned_worker,
              'pull_url', substring(said FROM 'https://[^\s]+/pull/[0-9]+'),
              'passed', substring(said FROM '(?i)([0-9]{1,9})[a-z ]{0,20} pass')::bigint,
              'failed', substring(said FROM '(?i)([0-9]{1,9})[a-z ]{0,20} fail')::bigint)),
            'self-reported', juggernaut.acting())
    RETURNING id INTO new.evidence_id;
  INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source, facts)
    SELECT old.id, old.fence, c.number, 'met', 'self-reported', '{}' FROM juggernaut.criteria c WHERE c.task_id = old.id;
  IF old.task_type = 'code' THEN
    new.status := 'awaiting_merge'; -- a claim of a merge; the forge has the last word
    new.completed_at := NULL;
  ELSE
    new.completed_at := clock_timestamp();
  END IF;
  RETURN new;
END
$$;

-- Registering: nobody is made stale before its time, and what a worker says of itself is bounded.
CREATE OR REPLACE FUNCTION juggernaut.guard_registry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.login <> juggernaut.acting() AND juggernaut.acting_kind() = 'worker'
     AND NOT (NEW.status = 'stale' AND EXISTS (SELECT FROM juggernaut.sessions s WHERE s.id = OLD.instance_id
                AND (s.closed_at IS NOT NULL OR s.beat_at < clock_timestamp() - juggernaut.seconds('stale_seconds')))) THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s belongs to another login', OLD.worker_id));
  END IF;
  IF pg_column_size(NEW.capabilities) > 16384 OR pg_column_size(NEW.metadata) > 16384 OR length(NEW.version) > 255 OR length(NEW.host) > 255 THEN
    PERFORM juggernaut.refuse('JG001', format('worker %s says too much of itself', left(NEW.worker_id, 60)), 'capabilities and metadata have 16 KiB, version and host 255 signs');
  END IF;
  NEW.last_heartbeat := CASE WHEN TG_OP = 'UPDATE' AND NEW.status IN ('stale', 'offline') THEN OLD.last_heartbeat ELSE clock_timestamp() END;
  IF TG_OP = 'INSERT' THEN
    NEW.login := juggernaut.acting();
    NEW.started_at := clock_timestamp();
  END IF;
  IF NEW.instance_id IS NULL OR (TG_OP = 'UPDATE' AND NEW.instance_id = OLD.instance_id AND NEW.status NOT IN ('stale', 'offline') AND NOT EXISTS (
       SELECT FROM juggernaut.sessions s WHERE s.id = NEW.instance_id AND s.closed_at IS NULL)) THEN
    NEW.instance_id := gen_random_uuid();
    INSERT INTO juggernaut.sessions (id, worker_id, worker_type, login, expires_at)
      VALUES (NEW.instance_id, NEW.worker_id, NEW.worker_type, NEW.login, clock_timestamp() + juggernaut.seconds('raw_session_seconds'));
  ELSIF NEW.status NOT IN ('stale', 'offline') THEN
    UPDATE juggernaut.sessions SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + juggernaut.seconds('raw_session_seconds')
     WHERE id = NEW.instance_id AND secret_hash IS NULL AND closed_at IS NULL;
  END IF;
  RETURN NEW;
END
$$;

-- Logs and learnings: of one's own worker, about tasks that one worked on, and never in floods.
CREATE OR REPLACE FUNCTION juggernaut.guard_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.level := CASE NEW.level WHEN 'warn' THEN 'warning' ELSE NEW.level END;
  NEW.login := juggernaut.acting();
  NEW.created_at := clock_timestamp();
  IF juggernaut.acting_kind() = 'worker' THEN
    IF NOT EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id AND w.login = NEW.login) THEN
      PERFORM juggernaut.refuse('JG001', format('%L is not a worker of %s', left(NEW.worker_id, 200), NEW.login));
    END IF;
    IF NEW.task_id IS NOT NULL AND NOT EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = NEW.task_id AND a.login = NEW.login) THEN
      PERFORM juggernaut.refuse('JG001', format('%s has not worked on task %s', NEW.login, NEW.task_id));
    END IF;
  END IF;
  RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION juggernaut.guard_learning() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  NEW.created_at := clock_timestamp();
  IF juggernaut.acting_kind() = 'worker' THEN
    IF NOT EXISTS (SELECT FROM juggernaut.attempts a WHERE a.task_id = NEW.task_id AND a.login = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%s has not worked on task %s', juggernaut.acting(), NEW.task_id));
    END IF;
    IF NOT EXISTS (SELECT FROM public.worker_registry w WHERE w.worker_id = NEW.worker_id AND w.login = juggernaut.acting()) THEN
      PERFORM juggernaut.refuse('JG001', format('%L is not a worker of %s', left(NEW.worker_id, 200), juggernaut.acting()));
    END IF;
    NEW.scope := (SELECT repo FROM public.governance_tasks WHERE id = NEW.task_id);
    NEW.applied_count := 0;
  END IF;
  RETURN NEW;
END
$$;
ALTER TABLE public.learnings ADD CONSTRAINT tags_are_bounded CHECK (pg_column_size(tags) <= 16384);
ALTER TABLE juggernaut.effects ADD CONSTRAINT effect_is_bounded CHECK (pg_column_size(request) <= 2097152 AND pg_column_size(result) <= 2097152);
ALTER TABLE juggernaut.model_calls ADD CONSTRAINT call_is_bounded CHECK (length(model) <= 300 AND length(purpose) <= 300 AND pg_column_size(facts) <= 262144);
ALTER TABLE public.execution_logs ENABLE ALWAYS TRIGGER guard_log;
ALTER TABLE public.learnings ENABLE ALWAYS TRIGGER guard_learning;

CREATE FUNCTION juggernaut.bounded_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() = 'worker' AND (SELECT count(*) FROM fresh) > juggernaut.threshold('insert_rows') THEN
    PERFORM juggernaut.refuse('JG001', format('a worker writes at most %s rows of %s with one statement', juggernaut.threshold('insert_rows'), TG_TABLE_NAME));
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER bounded_insert AFTER INSERT ON public.execution_logs REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.bounded_insert();
CREATE TRIGGER bounded_insert AFTER INSERT ON public.learnings REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.bounded_insert();
CREATE TRIGGER bounded_insert AFTER INSERT ON public.worker_registry REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION juggernaut.bounded_insert();

-- A task that a worker creates has no more money than the one it came from, and only types that
-- propose may create any.
ALTER TABLE juggernaut.task_types ADD COLUMN proposes boolean NOT NULL DEFAULT false;
UPDATE juggernaut.task_types SET proposes = true WHERE task_type = 'planning';
CREATE FUNCTION juggernaut.guard_lineage() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
DECLARE
  p public.governance_tasks;
BEGIN
  IF juggernaut.acting_kind() = 'worker' THEN
    SELECT * INTO p FROM public.governance_tasks g WHERE g.id = NEW.parent_task_id;
    IF NOT (SELECT y.proposes FROM juggernaut.task_types y WHERE y.task_type = p.task_type) THEN
      PERFORM juggernaut.refuse('JG001', format('a %s task creates no tasks', p.task_type), 'an operator may set juggernaut.task_types.proposes');
    END IF;
    NEW.budget_usd := least(NEW.budget_usd, p.budget_usd);
    NEW.max_attempts := least(NEW.max_attempts, greatest(p.max_attempts, 3));
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_lineage BEFORE INSERT ON public.governance_tasks FOR EACH ROW WHEN (NEW.parent_task_id IS NOT NULL) EXECUTE FUNCTION juggernaut.guard_lineage();
ALTER TABLE public.governance_tasks ENABLE ALWAYS TRIGGER guard_lineage;

-- A worker fires what is due, and nothing before its time.
CREATE FUNCTION juggernaut.guard_schedule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() = 'worker' AND OLD.next_run_at > clock_timestamp() THEN
    PERFORM juggernaut.refuse('JG001', format('schedule %s is not due before %s', OLD.name, OLD.next_run_at));
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER guard_schedule BEFORE UPDATE ON public.schedules FOR EACH ROW EXECUTE FUNCTION juggernaut.guard_schedule();
ALTER TABLE public.schedules ENABLE ALWAYS TRIGGER guard_schedule;

GRANT SELECT ON juggernaut.decisions, juggernaut.editors, juggernaut.login_types TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
GRANT EXECUTE ON FUNCTION public.request_approval(uuid, text, text) TO juggernaut_worker;
