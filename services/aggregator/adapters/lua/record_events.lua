-- Keeps events, each once by its id, and forgets those of before the cutoff.
-- KEYS: all events by time; then for each event its own key and its node's events by time.

local all = KEYS[1]
local cutoff, until_then = ARGV[1], ARGV[2]
local recorded = 0
local position = 3
for index = 2, #KEYS, 2 do
  local event, of_node = KEYS[index], KEYS[index + 1]
  local id, time, kept_for, value = unpack(ARGV, position, position + 3)
  position = position + 4
  if redis.call('SET', event, value, 'PX', kept_for, 'NX') then
    recorded = recorded + 1
    redis.call('ZADD', all, time, id)
    redis.call('ZADD', of_node, time, id)
  end
  redis.call('ZREMRANGEBYSCORE', of_node, '-inf', cutoff)
  redis.call('PEXPIRE', of_node, until_then)
end
redis.call('ZREMRANGEBYSCORE', all, '-inf', cutoff)
redis.call('PEXPIRE', all, until_then)
return recorded
