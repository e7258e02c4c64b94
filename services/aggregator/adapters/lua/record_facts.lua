-- Appends facts to the log, once by their key.
-- KEYS: the log; keys of what it holds and held, by time. ARGV: key, now, oldest key kept, facts,
-- their checksum.

local log, keys = KEYS[1], KEYS[2]
local key, now, oldest, facts, checksum = unpack(ARGV)
if redis.call('ZSCORE', keys, key) then
  return 0
end
redis.call('XADD', log, '*', 'facts', facts, 'crc32', checksum)
redis.call('ZADD', keys, now, key)
redis.call('ZREMRANGEBYSCORE', keys, '-inf', '(' .. oldest)
return 1
