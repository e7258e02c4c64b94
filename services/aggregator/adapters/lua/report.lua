-- Adds expected and observed events to their window, once.

local meta, windows, open, reported, window, reports = unpack(KEYS)
local request, id, starts, ends, through, expected, observed = unpack(ARGV, 1, 7)
local lateness = rule(meta, 'lateness', ARGV[8])
local retention = rule(meta, 'retention', ARGV[9])

if redis.call('SISMEMBER', reports, request) == 1 then
  return {'duplicate', has_work(meta, open, reported, lateness)}
end
if redis.call('HEXISTS', meta, 'checkpoint') == 0 then
  return {'unknown'}
end
if is_past(meta, ends, retention * 1000000) then
  return {'expired'}
end

redis.call('HINCRBYFLOAT', window, 'expected', expected)
redis.call('HINCRBY', window, 'observed', observed)
redis.call('SADD', reports, request)
redis.call('HSET', window, 'end', ends)
redis.call('ZADD', windows, starts, id)
if redis.call('HEXISTS', window, 'closed') == 0 then
  redis.call('ZADD', open, ends, id)
end
if redis.call('HEXISTS', window, 'event') == 0 then
  redis.call('ZADD', reported, ends, id)
end
advance(meta, 'watermark', through)
advance(meta, 'outcomes_until', through)
expire(retention, meta, windows, open, reported, window, reports)
return {'stored', has_work(meta, open, reported, lateness)}
