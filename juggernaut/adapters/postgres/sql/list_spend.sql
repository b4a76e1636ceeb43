SELECT scope, cap_usd, spent_usd, reserved_usd, left_usd, resets FROM spend ORDER BY scope;
