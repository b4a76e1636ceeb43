SELECT checks, reviews, up_to_date FROM juggernaut.forge_rules WHERE repo = $1
