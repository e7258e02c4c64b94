-- Puts a block into its window, once, and into the latest window. Whatever it decides, it decides
-- before it writes.

local meta, checkpoint, windows, open, reported = unpack(KEYS, 1, 5)
local window, blocks, sample = unpack(KEYS, 6, 8)
local orders = {considered = KEYS[9], displayed = KEYS[10]}
local panes, latest, waiting = unpack(KEYS, 11, 13)
local latest_orders = {considered = KEYS[14], displayed = KEYS[15]}

local block, digest, method, population, examples = unpack(ARGV, 1, 5)
local id, starts, ends, event, lateness, retention = unpack(ARGV, 6, 11)
local pane, arrow, priority, most_examples, sample_retention = unpack(ARGV, 12, 16)
local latest_each, step_examples = tonumber(ARGV[17]), tonumber(ARGV[18])
local name = id .. ':' .. block
lateness, retention = rule(meta, 'lateness', lateness), rule(meta, 'retention', retention)

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
  for kind, order in pairs(orders) do
    totals[kind] = tonumber(redis.call('HGET', sample, 'examples:' .. kind) or '0')
    batches = batches + redis.call('ZCARD', order)
  end
  while batches > 1 and totals.considered + totals.displayed > tonumber(most_examples) do
    local larger = totals.displayed > totals.considered and 'displayed' or 'considered'
    local last = redis.call('ZPOPMAX', orders[larger])[1]
    if not last then
      break
    end
    local count, batch = string.match(last, '^(%d+):(.*)$')
    redis.call('HDEL', sample, 'batch:' .. batch)
    totals[larger] = redis.call('HINCRBY', sample, 'examples:' .. larger, -tonumber(count))
    batches = batches - 1
  end
  expire(sample_retention, sample, orders.considered, orders.displayed)
end

-- Takes a pane out of the latest window, and lets it go if its own window has been closed.
local function leave(kind, member)
  local count, left = string.match(member, '^(%d+):(.*)$')
  redis.call('ZREM', latest_orders[kind], member)
  redis.call('SREM', waiting, member)
  redis.call('HINCRBY', latest, kind, -tonumber(count))
  if not redis.call('ZSCORE', open, string.match(left, '^[^:]*')) then
    redis.call('HDEL', panes, left)
  end
end

-- Takes all panes up to a time out of the latest window.
local function leave_until(time)
  for kind, order in pairs(latest_orders) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', time)) do
      leave(kind, member)
    end
  end
end

-- Has all panes that wait enter the latest window, and the oldest leave that it does not need.
local function step()
  redis.call('UNLINK', waiting)
  redis.call('HSET', latest, 'waiting', 0)
  redis.call('HINCRBY', latest, 'step', 1)
  for kind, order in pairs(latest_orders) do
    local held = tonumber(redis.call('HGET', latest, kind) or '0')
    local oldest = redis.call('ZRANGE', order, 0, 0)[1]
    while oldest do
      held = held - tonumber(string.match(oldest, '^%d+'))
      if held < latest_each then
        break
      end
      leave(kind, oldest)
      oldest = redis.call('ZRANGE', order, 0, 0)[1]
    end
  end
end

-- Puts the pane into the latest window: see domain/latest.py.
local function slide()
  local scored = digest .. ':' .. method
  local known = redis.call('HGET', latest, 'scored')
  local newest, since = at(latest, 'newest'), at(latest, 'since')
  local restarts = known ~= scored
  if known and restarts and tonumber(event) < newest then
    if tonumber(event) > since then
      redis.call('HSET', latest, 'since', event)
      redis.call('HINCRBY', latest, 'step', 1)
      leave_until(event)
    end
    return
  end
  if known and restarts then
    redis.call('HSET', latest, 'since', redis.call('HGET', latest, 'newest'))
    leave_until('+inf')
  elseif tonumber(event) <= since then
    return
  end
  redis.call('HSET', latest, 'scored', scored)
  advance(latest, 'newest', event)
  redis.call('ZADD', latest_orders[population], event, examples .. ':' .. name)
  redis.call('HINCRBY', latest, population, examples)
  redis.call('SADD', waiting, examples .. ':' .. name)
  if redis.call('HINCRBY', latest, 'waiting', examples) >= step_examples or restarts then
    step()
  end
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
redis.call('HSET', panes, name, pane)
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
if latest_each > 0 then
  slide()
elseif redis.call('EXISTS', latest) == 1 then
  leave_until('+inf')
  redis.call('UNLINK', latest)
end
expire(retention, meta, checkpoint, windows, open, reported, window, blocks, panes)
expire(retention, latest, latest_orders.considered, latest_orders.displayed, waiting)
return {'stored', has_work(meta, open, reported, lateness)}
