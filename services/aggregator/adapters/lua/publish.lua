-- Appends a window's event to the model's stream, once.

local reported, window, shifts, meta = unpack(KEYS)
local id, event, checksum, most_events = unpack(ARGV)
local retention = rule(meta, 'retention', ARGV[5])

redis.call('ZREM', reported, id)
if redis.call('EXISTS', window) == 0 or redis.call('HEXISTS', window, 'event') == 1 then
  return 0
end
local cursor = redis.call(
  'XADD', shifts, 'MAXLEN', '~', most_events, '*', 'event', event, 'crc32', checksum
)
redis.call('HSET', window, 'event', cursor)
expire(retention, shifts)
return 1
