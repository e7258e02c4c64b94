-- Puts a block into its window, once. Whatever it decides, it decides before it writes.

local meta, checkpoint, windows, open, reported = unpack(KEYS, 1, 5)
local window, blocks, panes, sample = unpack(KEYS, 6, 9)
local orders = {considered = KEYS[10], displayed = KEYS[11]}

local block, digest, method, population, examples = unpack(ARGV, 1, 5)
local id, starts, ends, event, lateness, retention = unpack(ARGV, 6, 11)
local pane, arrow, priority, most_examples, sample_retention = unpack(ARGV, 12, 16)

local function refuse(...)
  redis.call('HINCRBY', meta, 'refused', 1)
  return {...}
end

-- Keeps the batches of lowest priority, as many as fit: see domain/sampling.py.
local function keep()
  local totals = {}
  local batches = 0
  redis.call('HSET', sample, 'batch:' .. block, arrow)
  redis.call('HINCRBY', sample, 'examples:' .. population, examples)
  redis.call('ZADD', orders[population], priority, examples .. ':' .. block)
  for name, order in pairs(orders) do
    totals[name] = tonumber(redis.call('HGET', sample, 'examples:' .. name) or '0')
    batches = batches + redis.call('ZCARD', order)
  end
  while batches > 1 and totals.considered + totals.displayed > tonumber(most_examples) do
    local larger = totals.displayed > totals.considered and 'displayed' or 'considered'
    local last = redis.call('ZPOPMAX', orders[larger])[1]
    if not last then
      break
    end
    local count, name = string.match(last, '^(%d+):(.*)$')
    redis.call('HDEL', sample, 'batch:' .. name)
    totals[larger] = redis.call('HINCRBY', sample, 'examples:' .. larger, -tonumber(count))
    batches = batches - 1
  end
  expire(sample_retention, sample, orders.considered, orders.displayed)
end

if redis.call('SISMEMBER', blocks, block) == 1 then
  redis.call('HINCRBY', meta, 'duplicates', 1)
  return {'duplicate', has_work(meta, open, reported, lateness)}
end
if redis.call('EXISTS', checkpoint) == 0 then
  return {'unknown'}
end
local held = redis.call('HMGET', window, 'digest', 'method', 'closed')
if held[1] and (held[1] ~= digest or held[2] ~= method) then
  return refuse('mismatch', held[1], held[2])
end
if held[3] or is_past(meta, ends, lateness) then
  return refuse('closed')
end

redis.call('SADD', blocks, block)
redis.call('RPUSH', panes, pane)
redis.call('HSET', window, 'end', ends, 'digest', digest, 'method', method)
redis.call('HINCRBY', window, population, examples)
redis.call('ZADD', windows, starts, id)
redis.call('ZADD', open, ends, id)
redis.call('HINCRBY', meta, 'blocks', 1)
advance(meta, 'latest_event', event)
advance(meta, 'watermark', event)
if #arrow > 0 then
  keep()
end
expire(retention, meta, checkpoint, windows, open, reported, window, blocks, panes)
return {'stored', has_work(meta, open, reported, lateness)}
