SELECT id, fence, repo FROM juggernaut.awaiting_merge_v1()
