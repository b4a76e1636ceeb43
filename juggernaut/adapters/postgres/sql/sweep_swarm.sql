SELECT juggernaut.sweep_v1() || jsonb_build_object('refilled', juggernaut.refill_purses_v1()) AS counts
