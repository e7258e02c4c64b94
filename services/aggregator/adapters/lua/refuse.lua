-- Counts a block that was refused before it came here, for a model that is known.

if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], 'refused', 1)
end
return 1
