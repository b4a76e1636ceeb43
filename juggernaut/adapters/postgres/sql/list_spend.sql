SELECT scope, cap_usd, spent_usd, reserved_usd, left_usd, resets, cap_tokens, spent_tokens, reserved_tokens, left_tokens FROM spend ORDER BY scope;
