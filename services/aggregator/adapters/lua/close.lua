-- Keeps a window's summary and lets those of its panes go that the latest window does not hold,
-- once.

local open, window, summary = unpack(KEYS, 1, 3)
local id, packed = unpack(ARGV)
local retention = rule(KEYS[8], 'retention', ARGV[3])

redis.call('ZREM', open, id)
if redis.call('EXISTS', window) == 0 or redis.call('HSETNX', window, 'closed', 1) == 0 then
  return 0
end
redis.call('SET', summary, packed, 'EX', retention)
let_panes_go(id, unpack(KEYS, 4, 7))
redis.call('UNLINK', unpack(KEYS, 9))
expire(retention, window)
return 1
