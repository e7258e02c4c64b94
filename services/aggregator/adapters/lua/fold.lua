-- Puts folded panes in the place of a window's others, once.

local window, folded, folds, panes, meta = unpack(KEYS)
local id, before, retention, count = unpack(ARGV, 1, 4)

local is_open = redis.call('EXISTS', window) == 1 and redis.call('HEXISTS', window, 'closed') == 0
if not is_open or redis.call('SCARD', folded) ~= tonumber(before) then
  return 0
end
redis.call('DEL', folds)
for place = 5, 4 + tonumber(count) do
  redis.call('RPUSH', folds, ARGV[place])
end
for place = 5 + tonumber(count), #ARGV do
  redis.call('SADD', folded, ARGV[place])
  redis.call('HDEL', panes, id .. ':' .. ARGV[place])
end
expire(rule(meta, 'retention', retention), folded, folds)
return 1
