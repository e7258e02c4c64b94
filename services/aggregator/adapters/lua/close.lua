-- Keeps a window's summary and lets its panes go, once.

local open, window, panes, summary = unpack(KEYS)
local id, packed, retention = unpack(ARGV)

redis.call('ZREM', open, id)
if redis.call('EXISTS', window) == 0 or redis.call('HSETNX', window, 'closed', 1) == 0 then
  return 0
end
redis.call('SET', summary, packed, 'EX', retention)
redis.call('UNLINK', panes)
expire(retention, window)
return 1
