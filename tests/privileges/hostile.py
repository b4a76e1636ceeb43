"""Statements that a hostile worker login tries. {parked} {held} {pending} {mine} {done}: tasks."""

from __future__ import annotations

from typing import Final

REFUSED: Final = (
    # decision columns
    "UPDATE governance_tasks SET risk_level = 'low' WHERE id = '{parked}'",
    "UPDATE governance_tasks SET approved_by = 'alice' WHERE id = '{parked}'",
    "UPDATE governance_tasks SET approved_at = now() WHERE id = '{parked}'",
    "UPDATE governance_tasks SET fence = 99 WHERE id = '{held}'",
    "UPDATE governance_tasks SET lease_login = session_user WHERE id = '{held}'",
    "UPDATE governance_tasks SET lease_until = 'infinity' WHERE id = '{mine}'",
    "UPDATE governance_tasks SET evidence_id = 1 WHERE id = '{held}'",
    "UPDATE governance_tasks SET plan_digest = repeat('a', 64) WHERE id = '{parked}'",
    "UPDATE governance_tasks SET attempts = 0, max_attempts = 20 WHERE id = '{mine}'",
    "UPDATE governance_tasks SET budget_usd = 1000 WHERE id = '{mine}'",
    "UPDATE governance_tasks SET payload = '{{}}' WHERE id = '{parked}'",
    "UPDATE governance_tasks SET title = 'harmless' WHERE id = '{parked}'",
    "UPDATE governance_tasks SET created_by = session_user WHERE id = '{parked}'",
    "UPDATE governance_tasks SET status = 'pending' WHERE id = '{parked}'",
    "UPDATE governance_tasks SET requires_approval = false WHERE id = '{parked}'",
    "UPDATE governance_tasks SET status = 'cancelled' WHERE id = '{pending}'",
    "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'raw' WHERE id ="
    " '{parked}'",
    "UPDATE governance_tasks SET status = 'in_progress', assigned_worker = 'w1' WHERE id ="
    " '{pending}'",
    # ends
    "UPDATE governance_tasks SET status = 'completed', completion_evidence = 'Done' WHERE id ="
    " '{mine}'",
    "UPDATE governance_tasks SET status = 'completed', completion_evidence = repeat('done ',"
    " 99) WHERE id = '{mine}'",
    "UPDATE governance_tasks SET status = 'completed', completion_evidence = '12 passed, 0"
    " failed at the head of main now' WHERE id = '{held}'",
    "UPDATE governance_tasks SET status = 'failed', error_message = 'x' WHERE id = '{held}'",
    "UPDATE governance_tasks SET status = 'pending' WHERE id = '{done}'",
    "UPDATE governance_tasks SET completion_evidence = 'rewritten' WHERE id = '{done}'",
    "UPDATE governance_tasks SET assigned_worker = 'w1' WHERE id = '{mine}'",
    "DELETE FROM governance_tasks WHERE id = '{pending}'",
    "INSERT INTO governance_tasks (title, task_type) VALUES ('mine', 'command')",
    "TRUNCATE governance_tasks CASCADE",
    # decisions and evidence by hand
    "SELECT approve_task('{parked}')",
    "SELECT reject_task('{parked}', 'no')",
    "SELECT cancel_task('{pending}', 'no')",
    "SELECT juggernaut.decide('{parked}', 'approved', 'me')",
    "SELECT accept_criterion('{held}', 1, 'looks good')",
    "UPDATE approvals SET status = 'approved', need = 1 WHERE task_id = '{parked}'",
    "INSERT INTO juggernaut.decision_log VALUES (1, 'x', 'approved', '', now(), now())",
    "INSERT INTO juggernaut.evidence (task_id, fence, kind, facts, source, recorded_by) VALUES"
    " ('{held}', 1, 'command', '{{}}', 'verifier', 'x')",
    "INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source) VALUES"
    " ('{held}', 1, 1, 'met', 'verifier')",
    "SELECT juggernaut.settle(gen_random_uuid(), 0, '{{}}', 'settled')",
    "SELECT juggernaut.record_event('task.approved', '{parked}', NULL, NULL)",
    "SELECT juggernaut.end_attempt('{held}', 1, 'failed', 'x', 'y')",
    "SELECT juggernaut.held('{held}', 1, gen_random_uuid())",
    # powers
    "SELECT grant_capability('executor', 'planning')",
    "SELECT set_budget('day', 100000)",
    "SELECT limit_login(session_user, '{{orchestrator}}')",
    "SELECT pause_swarm('all', 'mine now')",
    "INSERT INTO juggernaut.grants (worker_type, task_type) VALUES ('executor', 'planning')",
    "DELETE FROM juggernaut.grants",
    "UPDATE budgets SET cap_usd = 100000",
    "UPDATE juggernaut.thresholds SET value = 0",
    "UPDATE juggernaut.risks SET approvers = 0",
    "INSERT INTO juggernaut.transitions VALUES ('waiting_approval', 'completed')",
    "GRANT juggernaut_approver TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER DEFAULT PRIVILEGES FOR ROLE juggernaut_owner GRANT ALL ON TABLES TO PUBLIC",
    "CREATE ROLE accomplice LOGIN",
    # becoming somebody else, switching guards off
    "SET ROLE juggernaut_owner",
    "SET ROLE juggernaut_approver",
    "SET ROLE pg_signal_backend",
    "SET SESSION AUTHORIZATION DEFAULT; SET SESSION AUTHORIZATION juggernaut_owner",
    "SELECT set_config('role', 'juggernaut_owner', false)",
    "SET session_replication_role = 'replica'",
    "ALTER TABLE governance_tasks DISABLE TRIGGER ALL",
    "ALTER TABLE governance_tasks DROP CONSTRAINT completed_has_evidence",
    "DROP TRIGGER guard_update ON governance_tasks",
    "ALTER FUNCTION juggernaut.acting() RESET search_path",
    "CREATE RULE r AS ON UPDATE TO governance_tasks DO INSTEAD NOTHING",
    "SET log_statement = 'none'",
    # shadows
    "CREATE TEMP TABLE grants (worker_type text, task_type text)",
    "CREATE SCHEMA mine",
    "CREATE TABLE public.approvals2 (i int)",
    "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT"
    " ''infinity''::timestamptz'",
    "CREATE OPERATOR public.<> (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
    "CREATE OR REPLACE FUNCTION juggernaut.acting() RETURNS text LANGUAGE sql AS 'SELECT"
    " ''x''::text'",
    "DO $$ BEGIN CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; END $$",
    "CREATE EXTENSION dblink",
    "SELECT dblink('dbname=postgres', 'SELECT 1')",
    # logs, secrets, files, disk, locks
    "DELETE FROM execution_logs",
    "UPDATE execution_logs SET message = 'nothing happened'",
    "DELETE FROM juggernaut.events",
    "INSERT INTO execution_logs (worker_id, action, message) VALUES ('w1', 'x', 'forged')",
    "INSERT INTO execution_logs (worker_id, task_id, action, message) VALUES ('raw', '{held}',"
    " 'x', 'forged')",
    "INSERT INTO execution_logs (worker_id, action, message) VALUES ('raw', 'x', repeat('x',"
    " 10000000))",
    "INSERT INTO execution_logs (worker_id, action, message) SELECT 'raw', 'x', 'y' FROM"
    " generate_series(1, 5000)",
    "INSERT INTO learnings (task_id, worker_id, category, title, description, impact_score)"
    " VALUES ('{held}', 'raw', 'a', 'b', 'c', 1)",
    "INSERT INTO worker_registry (worker_id, worker_type, capabilities) VALUES ('big',"
    " 'executor', (SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, 9999) n))",
    "UPDATE worker_registry SET status = 'stale' WHERE worker_id = 'w1'",
    "SELECT secret_hash FROM juggernaut.sessions",
    "SELECT lease_hash FROM juggernaut.attempts",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "COPY governance_tasks TO '/tmp/FAKE-out'",
    "COPY governance_tasks FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(hashtextextended('juggernaut.sweep', 0))",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "LOCK TABLE governance_tasks IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE juggernaut.duties",
    "SELECT FROM juggernaut.duties FOR UPDATE",
    "SELECT FROM budgets FOR UPDATE",
    "ALTER SYSTEM SET fsync = off",
    "VACUUM FULL juggernaut.grants; SELECT 1 / 0",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "SECURITY LABEL ON TABLE governance_tasks IS 'x'",
    "BEGIN; PREPARE TRANSACTION 'stays'",
    "SELECT juggernaut.fire_schedule_v1('later', '2099-01-01', NULL)",
)
# These run, and change nothing of anybody else.
HARMLESS: Final = (
    "SET application_name = 'psql of the operator'",
    "SELECT pg_notify('juggernaut_work', 'x') FROM generate_series(1, 500)",
    "NOTIFY juggernaut_work, 'command'",
    "LISTEN juggernaut_work",
    "SET search_path = pg_temp, public; SELECT count(*) FROM governance_tasks",
    "SET ROLE juggernaut_worker",
    "RESET ALL",
    "DROP OWNED BY CURRENT_USER CASCADE",
    "DROP OWNED BY juggernaut_worker CASCADE",
    "REASSIGN OWNED BY CURRENT_USER TO juggernaut_worker",
    "REVOKE ALL ON governance_tasks FROM juggernaut_worker",
    "GRANT UPDATE ON approvals TO juggernaut_worker",
    "ANALYZE governance_tasks",
    "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
    "SELECT juggernaut.sweep_v1()",
    "DISCARD ALL",
)
