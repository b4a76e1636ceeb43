-- What a person approves is the plan as it is shown since 0036. A request of before shows a digest of
-- the payload instead, and approving it would let nothing through: it is taken back and asked anew.
SET LOCAL ROLE juggernaut_owner;

UPDATE public.approvals a SET status = 'void', decided_at = clock_timestamp()
 WHERE a.status = 'pending' AND a.gate = 'plan' AND jsonb_typeof(a.body) = 'object' AND a.body ? 'payload_digest';

UPDATE public.governance_tasks t SET status = 'pending', fence = t.fence + 1
 WHERE t.status = 'waiting_approval' AND NOT EXISTS (SELECT FROM public.approvals a WHERE a.task_id = t.id AND a.status = 'pending');
