-- What several scripts share. Times are whole microseconds since 1970, and stay strings on their
-- way into keys: Lua would print them with 14 digits.

local function advance(meta, field, time)
  local known = redis.call('HGET', meta, field)
  if not known or tonumber(time) > tonumber(known) then
    redis.call('HSET', meta, field, time)
  end
end

-- A model's own rule, or everybody's.
local function rule(meta, field, everybodys)
  return redis.call('HGET', meta, field) or everybodys
end

local function at(meta, field)
  local time = redis.call('HGET', meta, field)
  return time and tonumber(time) or -math.huge
end

local function score(number)
  return number == -math.huge and '-inf' or string.format('%.0f', number)
end

-- Whether event time has gone so far beyond the end of a window.
local function is_past(meta, ends, beyond)
  return at(meta, 'watermark') >= tonumber(ends) + tonumber(beyond)
end

-- Windows without a summary that event time has passed.
local function closable(meta, open, lateness)
  local latest = score(at(meta, 'watermark') - tonumber(lateness))
  return redis.call('ZRANGEBYSCORE', open, '-inf', latest)
end

-- Closed windows whose outcomes are all in and of which no event has told.
local function evaluable(meta, open, reported)
  local found = {}
  local latest = score(at(meta, 'outcomes_until'))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', reported, '-inf', latest)) do
    if not redis.call('ZSCORE', open, id) then
      found[#found + 1] = id
    end
  end
  return found
end

local function has_work(meta, open, reported, lateness)
  local any = #closable(meta, open, lateness) + #evaluable(meta, open, reported) > 0
  return any and 1 or 0
end

local function expire(seconds, ...)
  for _, key in ipairs({...}) do
    redis.call('EXPIRE', key, seconds)
  end
end

-- Deletes a window's panes, but for those that the latest window holds.
local function let_panes_go(id, panes, considered, displayed, blocks)
  local held = {}
  for _, order in ipairs({considered, displayed}) do
    for _, member in ipairs(redis.call('ZRANGE', order, 0, -1)) do
      held[string.match(member, '^%d+:(.*)$')] = true
    end
  end
  for _, block in ipairs(redis.call('SMEMBERS', blocks)) do
    local name = id .. ':' .. block
    if not held[name] then
      redis.call('HDEL', panes, name)
    end
  end
end
