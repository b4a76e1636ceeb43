-- Powers, each named. Nothing is granted to PUBLIC; machinery columns are granted to nobody.
SET LOCAL ROLE juggernaut_owner;

-- Everybody reads what people read; nobody but the owner reads secrets of sessions and leases.
GRANT SELECT ON public.goals, public.approvals, public.alerts, public.budgets, public.schedules, public.controls, public.reports,
  public.recommendations, public.learnings, public.execution_logs, public.worker_registry, public.governance_tasks,
  public.pending_approvals, public.task_board, public.worker_board, public.why_idle, public.goal_progress, public.spend,
  public.open_alerts, public.proof, public.law_violations,
  juggernaut.thresholds, juggernaut.priorities, juggernaut.risks, juggernaut.task_types, juggernaut.transitions, juggernaut.grants,
  juggernaut.criteria, juggernaut.dependencies, juggernaut.plans, juggernaut.decisions, juggernaut.evidence, juggernaut.verdicts,
  juggernaut.effects, juggernaut.model_calls, juggernaut.events, juggernaut.seals
  TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
GRANT SELECT (task_id, fence, session_id, worker_id, login, started_at, ended_at, ended_as, error_code, error_message)
  ON juggernaut.attempts TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
GRANT SELECT (id, worker_id, worker_type, login, opened_at, beat_at, expires_at, closed_at, waiting)
  ON juggernaut.sessions TO juggernaut_worker, juggernaut_approver, juggernaut_reader;
GRANT EXECUTE ON FUNCTION public.why(uuid), public.audit_verify(), juggernaut.why_row(public.governance_tasks), juggernaut.task_cost(uuid),
  juggernaut.shown(text), juggernaut.threshold(text), juggernaut.seconds(text), juggernaut.acting(), juggernaut.acting_kind(),
  juggernaut.metrics_v1(integer)
  TO juggernaut_worker, juggernaut_approver, juggernaut_reader;

-- The statements of the worker instructions, as a worker login.
GRANT INSERT (worker_id, worker_type, status, capabilities, last_heartbeat), UPDATE (status, last_heartbeat, current_task_id)
  ON public.worker_registry TO juggernaut_worker;
GRANT UPDATE (status, assigned_worker, started_at, completed_at, completion_evidence, error_message, requires_approval, approval_reason)
  ON public.governance_tasks TO juggernaut_worker;
GRANT INSERT (task_id, worker_id, action, level, message, metadata, error_data) ON public.execution_logs TO juggernaut_worker;
GRANT INSERT (task_id, worker_id, category, title, description, impact_score, tags, created_at) ON public.learnings TO juggernaut_worker;

-- The daemon's functions.
GRANT EXECUTE ON FUNCTION
  juggernaut.open_session_v1(text, text, jsonb), juggernaut.beat_v1(uuid, uuid, text, uuid), juggernaut.close_session_v1(uuid, uuid),
  juggernaut.idle_v1(uuid, boolean), juggernaut.claim_v1(uuid, uuid, integer),
  juggernaut.still_held_v1(uuid, bigint, uuid), juggernaut.log_v1(uuid, bigint, uuid, text, text, text, jsonb, jsonb),
  juggernaut.pass_gate_v1(uuid, bigint, uuid, text, text, jsonb, text, text[]),
  juggernaut.complete_v1(uuid, bigint, uuid, text, jsonb, jsonb, text, jsonb, jsonb),
  juggernaut.fail_v1(uuid, bigint, uuid, text, text, numeric), juggernaut.block_v1(uuid, bigint, uuid, text, text),
  juggernaut.release_v1(uuid, bigint, uuid, text),
  juggernaut.effect_intend_v1(uuid, bigint, uuid, text, text, jsonb), juggernaut.effect_confirm_v1(uuid, bigint, uuid, bigint, jsonb),
  juggernaut.reserve_v1(uuid, bigint, uuid, text, text, text, numeric), juggernaut.settle_v1(uuid, numeric, jsonb),
  juggernaut.propose_tasks_v1(uuid, bigint, uuid, jsonb), juggernaut.save_report_v1(uuid, bigint, uuid, text, text, jsonb),
  juggernaut.save_recommendations_v1(uuid, bigint, uuid, jsonb), juggernaut.recall_v1(text, text, integer),
  juggernaut.goal_v1(uuid, bigint, uuid), juggernaut.goal_story_v1(uuid, bigint, uuid),
  juggernaut.sweep_v1(), juggernaut.detect_v1(), juggernaut.settle_goals_v1(), juggernaut.due_schedules_v1(),
  juggernaut.fire_schedule_v1(text, timestamptz, timestamptz)
  TO juggernaut_worker;

-- People who decide.
GRANT EXECUTE ON FUNCTION public.approve_task(uuid, text, text), public.reject_task(uuid, text), public.cancel_task(uuid, text),
  public.retry_task(uuid, text), public.accept_criterion(uuid, integer, text), public.add_goal(text, text, text, numeric),
  public.cancel_goal(uuid, text), public.pause_swarm(text, text), public.resume_swarm(text),
  public.accept_recommendation(bigint, text), public.resolve_alert(bigint, text), public.decline_recommendation(bigint, text)
  TO juggernaut_approver;
GRANT UPDATE (status, approved_by, error_message, title, description, priority, acceptance_criteria, payload, run_after, deadline)
  ON public.governance_tasks TO juggernaut_approver;
GRANT INSERT (goal_id, title, description, task_type, priority, risk_level, acceptance_criteria, assigned_worker, requires_approval,
  approval_reason, max_attempts, run_after, deadline, timeout_seconds, budget_usd, payload, dedupe_key, concurrency_key, depends_on, repo)
  ON public.governance_tasks TO juggernaut_approver;
GRANT INSERT (title, description, repo, budget_usd) ON public.goals TO juggernaut_approver;
