-- Logins for programs that work by the statements of the worker instructions alone. They hold those
-- columns, what a reader may ask and the functions meant for people's hands (schema public), and none
-- of the daemon's: so such a login has no lease secret and no verifier, and cannot answer for the forge
-- about a merge that it reported itself.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'juggernaut_plain') THEN
    CREATE ROLE juggernaut_plain NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- another migration of the same server made it in this moment
END
$$;
GRANT USAGE ON SCHEMA public, juggernaut TO juggernaut_plain;
GRANT SELECT ON juggernaut.migrations TO juggernaut_plain;

SET LOCAL ROLE juggernaut_owner;

-- The columns of a worker, its functions in public, and the functions of a reader. A test holds the three to each other, so a later
-- migration that grants to one grants to this one too.
DO $$
DECLARE
  g record;
BEGIN
  FOR g IN
    SELECT format('GRANT %s ON %s TO juggernaut_plain', a.privilege_type, c.oid::regclass) AS say
      FROM pg_catalog.pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
     WHERE c.relnamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
       AND c.relowner = 'juggernaut_owner'::regrole AND a.grantee = 'juggernaut_worker'::regrole
    UNION ALL
    SELECT format('GRANT %s (%I) ON %s TO juggernaut_plain', a.privilege_type, t.attname, c.oid::regclass)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) a
     WHERE c.relnamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace) AND a.grantee = 'juggernaut_worker'::regrole
    UNION ALL
    SELECT format('GRANT EXECUTE ON FUNCTION %s TO juggernaut_plain', p.oid::regprocedure)
      FROM pg_catalog.pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
     WHERE p.pronamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace) AND a.grantee = 'juggernaut_reader'::regrole
        OR p.pronamespace = 'public'::regnamespace AND a.grantee = 'juggernaut_worker'::regrole
  LOOP
    EXECUTE g.say;
  END LOOP;
END
$$;

-- Such a login is a worker like the others: its guards, its bounds, and never a decision.
CREATE FUNCTION juggernaut.is_worker(p_login name) RETURNS boolean
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT pg_catalog.pg_has_role(p_login, 'juggernaut_worker', 'MEMBER') OR pg_catalog.pg_has_role(p_login, 'juggernaut_plain', 'MEMBER')
$$;
REVOKE ALL ON FUNCTION juggernaut.is_worker(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION juggernaut.acting_kind() RETURNS text
LANGUAGE sql STABLE SET search_path = juggernaut, pg_temp
AS $$
  SELECT CASE WHEN pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_owner', 'MEMBER') THEN 'operator'
              WHEN pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_worker', 'MEMBER')
                OR pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_plain', 'MEMBER') THEN 'worker'
              WHEN pg_catalog.pg_has_role(juggernaut.acting(), 'juggernaut_approver', 'MEMBER') THEN 'approver'
              ELSE 'reader' END
$$;

CREATE OR REPLACE FUNCTION juggernaut.end_old_transactions() RETURNS integer
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
       AND juggernaut.is_worker(a.usename) AND NOT pg_has_role(a.usesysid, 'juggernaut_owner', 'MEMBER')
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

CREATE OR REPLACE FUNCTION public.map_forge_login(forge_login text, login text, forge text DEFAULT 'github') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = juggernaut, pg_temp
AS $$
BEGIN
  IF juggernaut.acting_kind() <> 'operator' THEN
    PERFORM juggernaut.refuse('JG001', format('%s may not map a login: an operator does that', juggernaut.acting()));
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = map_forge_login.login AND r.rolcanlogin)
     OR NOT pg_has_role(map_forge_login.login, 'juggernaut_approver', 'MEMBER') OR juggernaut.is_worker(map_forge_login.login::name) THEN
    PERFORM juggernaut.refuse('JG001', format('%L is no approver''s login', map_forge_login.login), 'juggernaut login create approver NAME');
  END IF;
  INSERT INTO juggernaut.forge_people AS p (forge, forge_login, login)
    VALUES (map_forge_login.forge, lower(map_forge_login.forge_login), map_forge_login.login)
    ON CONFLICT ON CONSTRAINT forge_people_pkey DO UPDATE SET login = excluded.login;
END
$$;
